import { Ollama } from "ollama";

const client = new Ollama({
  host: process.env.SLM_URL,
  headers: {
    "CF-Access-Client-Id": process.env.SLM_CLIENT_ID,
    "CF-Access-Client-Secret": process.env.SLM_CLIENT_SECRET,
  },
});
const messages = [{ role: "user", content: "계약서를 요약해 주세요." }];
const answer = await client.chat({ model: process.env.SLM_MODEL, messages, stream: true });
for await (const part of answer) process.stdout.write(part.message.content);
