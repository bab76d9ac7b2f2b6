import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";

const apiKey = "not used";
const configuration = {
  baseURL: `${process.env.SLM_URL}/v1`,
  defaultHeaders: {
    "CF-Access-Client-Id": process.env.SLM_CLIENT_ID,
    "CF-Access-Client-Secret": process.env.SLM_CLIENT_SECRET,
  },
};
const chat = new ChatOpenAI({ model: process.env.SLM_MODEL, apiKey, configuration, timeout: 900_000 });
const answer = await chat.invoke("계약서를 요약해 주세요.");
console.log(answer.content);

const embeddings = new OpenAIEmbeddings({ model: process.env.SLM_EMBEDDING_MODEL, apiKey, configuration });
const vectors = await embeddings.embedDocuments(["하나", "둘"]);
console.log(vectors.length);
