import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.SLM_URL}/v1`,
  apiKey: "not used",
  defaultHeaders: {
    "CF-Access-Client-Id": process.env.SLM_CLIENT_ID,
    "CF-Access-Client-Secret": process.env.SLM_CLIENT_SECRET,
  },
  timeout: 900_000,
});
const stream = await client.chat.completions.create({
  model: process.env.SLM_MODEL,
  messages: [{ role: "user", content: "계약서를 요약해 주세요." }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? "");
