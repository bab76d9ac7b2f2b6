/** Each call of npm's `ollama`, under the names of `calls.py`. */
import type { Ollama } from "ollama";

const MODEL = "slm-ko";
const messages = [{ role: "user", content: "안녕하세요" }];
const PNG = Buffer.from("89504e470d0a1a0a", "hex");
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { type: "function", function: { name: "weather", description: "The weather of a city.", parameters } };
const schema = {
  type: "object",
  properties: { 요약: { type: "string" }, 수: { type: "integer" } },
  required: ["요약"],
};

async function joined<T>(parts: Promise<AsyncIterable<T>>, of: (part: T) => string | undefined): Promise<string> {
  let text = "";
  for await (const part of await parts) text += of(part) ?? "";
  return text;
}

async function tools(client: Ollama): Promise<unknown> {
  const asked = [{ role: "user", content: "weather 서울" }];
  const { message } = await client.chat({ model: MODEL, messages: asked, tools: [weather] });
  const { name, arguments: given } = message.tool_calls![0]!.function;
  const result = { role: "tool", content: `${String(given.city)}: 맑음`, tool_name: name };
  const answer = await client.chat({ model: MODEL, messages: [...asked, message, result], tools: [weather] });
  return [name, answer.message.content];
}

async function left(client: Ollama): Promise<unknown> {
  const long = [{ role: "user", content: "길게 ".repeat(2000) }];
  const parts = await client.chat({ model: MODEL, messages: long, stream: true });
  for await (const part of parts) {
    parts.abort();
    return part.message.content;
  }
  return undefined;
}

type Call = (client: Ollama) => Promise<unknown>;
export const CALLS: Readonly<Record<string, Call>> = {
  chat: async (client) => (await client.chat({ model: MODEL, messages })).message.content,
  "chat, streamed": (client) =>
    joined(client.chat({ model: MODEL, messages, stream: true }), (part) => part.message.content),
  generate: async (client) => (await client.generate({ model: MODEL, prompt: "안녕" })).response,
  "generate, streamed": (client) =>
    joined(client.generate({ model: MODEL, prompt: "안녕", stream: true }), ({ response }) => response),
  embed: async (client) =>
    (await client.embed({ model: "bge-m3", input: ["하나", "둘"] })).embeddings.map(({ length }) => length),
  "embed in fewer dimensions": async (client) =>
    (await client.embed({ model: "bge-m3", input: "하나", dimensions: 16 })).embeddings.map(({ length }) => length),
  embeddings: async (client) => (await client.embeddings({ model: "bge-m3", prompt: "하나" })).embedding.length,
  list: async (client) => (await client.list()).models.map(({ model }) => model),
  ps: async (client) => (await client.ps()).models.map(({ model }) => model).sort(),
  show: async (client) => (await client.show({ model: MODEL })).capabilities,
  version: async (client) => (await client.version()).version,
  tools,
  images: async (client) => {
    const seen = [{ role: "user", content: "뭐가 보여?", images: [PNG] }];
    return (await client.chat({ model: MODEL, messages: seen })).message.content;
  },
  "generate with an image": async (client) =>
    (await client.generate({ model: MODEL, prompt: "뭐가 보여?", images: [PNG] })).response,
  thinking: async (client) => {
    const { message } = await client.chat({ model: MODEL, messages, think: true });
    return [message.thinking, message.content];
  },
  "thinking, streamed": (client) =>
    joined(client.chat({ model: MODEL, messages, think: "low", stream: true }), (part) => part.message.thinking),
  format: async (client) =>
    JSON.parse((await client.chat({ model: MODEL, messages, format: schema })).message.content) as unknown,
  "format, streamed": async (client) => {
    const parts = client.generate({ model: MODEL, prompt: "가", format: schema, stream: true });
    return JSON.parse(await joined(parts, ({ response }) => response)) as unknown;
  },
  options: async (client) =>
    (await client.generate({ model: MODEL, prompt: "가나다라마바사", options: { num_predict: 1, temperature: 0 } }))
      .response,
  "keep alive": async (client) => (await client.chat({ model: MODEL, messages, keep_alive: "10m" })).message.content,
  unload: async (client) => (await client.chat({ model: MODEL, messages, keep_alive: 0 })).message.content,
  "load options": async (client) =>
    (await client.chat({ model: MODEL, messages, options: { num_ctx: 131_072 } })).message.content,
  "unknown model": async (client) => (await client.chat({ model: "nothing", messages })).message.content,
  "unknown model, streamed": (client) =>
    joined(client.chat({ model: "nothing", messages, stream: true }), (part) => part.message.content),
  left,
  pull: async (client) => (await client.pull({ model: "other" })).status,
  "pull, streamed": (client) => joined(client.pull({ model: "other", stream: true }), ({ status }) => status),
  push: async (client) => (await client.push({ model: "other" })).status,
  create: async (client) => (await client.create({ model: "other", from: MODEL })).status,
  copy: async (client) => (await client.copy({ source: MODEL, destination: "other" })).status,
  delete: async (client) => (await client.delete({ model: MODEL })).status,
};
