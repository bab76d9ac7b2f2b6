/**
 * The requests that are recorded from real model servers and replayed on the emulator: every endpoint that the relay passes on
 * or asks itself, the ways they fail, HEAD, and callers who leave. `{chat}` and `{embed}` stand for the server's models.
 */

/** One request. */
export interface ParityCase {
  readonly name: string;
  readonly method: "GET" | "HEAD" | "POST" | "DELETE";
  readonly path: string;
  /** As JSON, or as it stands. */
  readonly body?: unknown;
  /** The caller leaves after the first piece of the answer: recorded is how long the server needs to free its slot. */
  readonly leaves?: true;
}

const ask = [{ role: "user", content: "What is the capital of Korea? Answer in a few words." }];
const post = (name: string, path: string, body: unknown): ParityCase => ({ name, method: "POST", path, body });
const get = (path: string): ParityCase => ({ name: `GET ${path}`, method: "GET", path });
const head = (path: string): ParityCase => ({ name: `HEAD ${path}`, method: "HEAD", path });

/** Paths under /v1, which both servers have. */
export const OPENAI_CASES: readonly ParityCase[] = [
  get("/v1/models"),
  head("/v1/models"),
  get("/v1/models/{chat}"),
  get("/v1/models/nothing"),
  post("chat", "/v1/chat/completions", { model: "{chat}", messages: ask, max_tokens: 8 }),
  post("chat, streamed", "/v1/chat/completions", { model: "{chat}", messages: ask, max_tokens: 8, stream: true }),
  post("chat, streamed with usage", "/v1/chat/completions", {
    model: "{chat}",
    messages: ask,
    max_tokens: 8,
    stream: true,
    stream_options: { include_usage: true },
  }),
  post("chat that stops by itself, streamed", "/v1/chat/completions", {
    model: "{chat}",
    messages: [{ role: "user", content: "What is the capital of Korea?" }],
    max_tokens: 400,
    stream: true,
  }),
  post("chat with parts of content", "/v1/chat/completions", {
    model: "{chat}",
    messages: [{ role: "user", content: [{ type: "text", text: "Hi" }] }],
    max_tokens: 4,
  }),
  post("chat with another model", "/v1/chat/completions", { model: "nothing", messages: ask, max_tokens: 4 }),
  post("chat without messages", "/v1/chat/completions", { model: "{chat}", max_tokens: 4 }),
  post("chat with no messages", "/v1/chat/completions", { model: "{chat}", messages: [], max_tokens: 4 }),
  post("chat without a model", "/v1/chat/completions", { messages: ask, max_tokens: 4 }),
  post("chat that is no JSON", "/v1/chat/completions", "{nonsense"),
  post("chat with an empty body", "/v1/chat/completions", ""),
  post("chat with a wrong type", "/v1/chat/completions", { model: "{chat}", messages: "hi", max_tokens: 4 }),
  { ...get("/v1/chat/completions"), name: "chat by GET" },
  post("completion", "/v1/completions", { model: "{chat}", prompt: "The capital of Korea is", max_tokens: 6 }),
  post("completion, streamed", "/v1/completions", {
    model: "{chat}",
    prompt: "The capital of Korea is",
    max_tokens: 6,
    stream: true,
    stream_options: { include_usage: true },
  }),
  post("response", "/v1/responses", { model: "{chat}", input: "What is the capital of Korea?", max_output_tokens: 8 }),
  post("response, streamed", "/v1/responses", {
    model: "{chat}",
    input: "What is the capital of Korea?",
    max_output_tokens: 8,
    stream: true,
  }),
  post("embedding", "/v1/embeddings", { model: "{embed}", input: "hello" }),
  post("embeddings", "/v1/embeddings", { model: "{embed}", input: ["hello", "there"] }),
  post("embedding as base64", "/v1/embeddings", { model: "{embed}", input: "hello", encoding_format: "base64" }),
  post("embedding of nothing", "/v1/embeddings", { model: "{embed}", input: [] }),
  post("embedding of an empty text", "/v1/embeddings", { model: "{embed}", input: "" }),
  post("embedding without an input", "/v1/embeddings", { model: "{embed}" }),
  post("embedding with another model", "/v1/embeddings", { model: "nothing", input: "hello" }),
  get("/v1/nothing"),
  post("a caller who leaves", "/v1/chat/completions", {
    model: "{chat}",
    messages: ask,
    max_tokens: 400,
    stream: true,
  }),
].map((one): ParityCase => (one.name === "a caller who leaves" ? { ...one, leaves: true } : one));

/** Ollama's own paths. */
export const OLLAMA_CASES: readonly ParityCase[] = [
  get("/"),
  head("/"),
  get("/api/version"),
  head("/api/version"),
  get("/api/tags"),
  head("/api/tags"),
  get("/api/ps"),
  post("show", "/api/show", { model: "{chat}" }),
  post("show another model", "/api/show", { model: "nothing" }),
  post("Ollama's chat", "/api/chat", { model: "{chat}", messages: ask, options: { num_predict: 8 } }),
  post("Ollama's chat, whole", "/api/chat", {
    model: "{chat}",
    messages: ask,
    stream: false,
    options: { num_predict: 8 },
  }),
  post("Ollama's chat with another model", "/api/chat", { model: "nothing", messages: ask }),
  post("Ollama's chat without a model", "/api/chat", { messages: ask }),
  post("Ollama's chat without messages", "/api/chat", { model: "{chat}" }),
  post("Ollama's chat that is no JSON", "/api/chat", "{nonsense"),
  post("Ollama's chat with an empty body", "/api/chat", ""),
  { ...get("/api/chat"), name: "Ollama's chat by GET" },
  post("generate", "/api/generate", { model: "{chat}", prompt: "The capital", options: { num_predict: 6 } }),
  post("generate, whole", "/api/generate", {
    model: "{chat}",
    prompt: "The capital",
    stream: false,
    options: { num_predict: 6 },
  }),
  post("generate without a prompt", "/api/generate", { model: "{chat}" }),
  post("Ollama's embedding", "/api/embed", { model: "{embed}", input: "hello" }),
  post("Ollama's embeddings", "/api/embed", { model: "{embed}", input: ["hello", "there"] }),
  post("Ollama's embedding in fewer dimensions", "/api/embed", { model: "{embed}", input: "hello", dimensions: 16 }),
  post("Ollama's embedding of nothing", "/api/embed", { model: "{embed}", input: [] }),
  post("Ollama's embedding without an input", "/api/embed", { model: "{embed}" }),
  post("Ollama's embedding of a wrong type", "/api/embed", { model: "{embed}", input: 7 }),
  post("Ollama's embedding with another model", "/api/embed", { model: "nothing", input: "hello" }),
  post("Ollama's old embedding", "/api/embeddings", { model: "{embed}", prompt: "hello" }),
  get("/api/nothing"),
  post("delete another model", "/api/delete", { model: "nothing" }),
  post("Ollama's chat left by its caller", "/api/chat", {
    model: "{chat}",
    messages: ask,
    options: { num_predict: 400 },
  }),
].map((one): ParityCase => {
  if (one.path === "/api/delete") return { ...one, method: "DELETE" };
  return one.name.endsWith("left by its caller") ? { ...one, leaves: true } : one;
});

/** llama-server's own. */
export const LLAMA_CASES: readonly ParityCase[] = [get("/health"), get("/props"), get("/slots")];
