import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: process.env.SLM_URL,
  apiKey: "not used",
  defaultHeaders: {
    "CF-Access-Client-Id": process.env.SLM_CLIENT_ID,
    "CF-Access-Client-Secret": process.env.SLM_CLIENT_SECRET,
  },
  timeout: 900_000,
});
const message = await client.messages.create({
  model: process.env.SLM_MODEL,
  max_tokens: 1024,
  messages: [{ role: "user", content: "계약서를 요약해 주세요." }],
});
console.log(message.content[0].text);
