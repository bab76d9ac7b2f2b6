/**
 * The model server of this suite, a process of its own. Each chat body says at its end how long it takes and what it answers
 * (`prove`, see `Told` in `case.ts`), so that the time every request keeps its slot is known exactly. A long body is never
 * parsed here: this process must not be what delays the quiet caller. It has no bound on requests, as Ollama's queue has none.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";

/** Where `prove` is looked for: at the body's end. */
const TAIL = 4096;
/** One vector. Its values carry no meaning here. */
const DIMENSIONS = 1024;
const VECTOR = `[${Array.from({ length: DIMENSIONS }, (_, i) => ((i % 97) + 1) / 128).join(",")}]`;
/** Time of one call for embeddings. A text that begins with `ms=N ` takes N ms. */
const EMBEDDING_MS = 5;

const toldSchema = z.object({
  ms: z.number(),
  answer: z.string().optional(),
  bytes: z.number().optional(),
  early: z.boolean().optional(),
  events: z.number().optional(),
  promptTokens: z.number().default(200),
  outputTokens: z.number().default(100),
});
const inputSchema = z.object({ input: z.union([z.string(), z.array(z.string())]) });

/** Keeps the last bytes of a body, and all of it where it is short enough to be parsed. */
async function read(req: IncomingMessage, whole: boolean): Promise<string> {
  let chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (!whole && size > 1024 * 1024) {
      const joined = Buffer.concat(chunks);
      chunks = [joined.subarray(Math.max(0, joined.length - TAIL))];
      size = chunks[0]!.length;
    }
  }
  const body = Buffer.concat(chunks);
  return (whole ? body : body.subarray(Math.max(0, body.length - TAIL))).toString("utf8");
}

function toldIn(tail: string): z.infer<typeof toldSchema> {
  const at = tail.lastIndexOf('"prove":');
  const found = at < 0 ? undefined : /\{[^{}]*\}/.exec(tail.slice(at))?.[0];
  return toldSchema.parse(found === undefined ? { ms: 0, answer: "" } : JSON.parse(found));
}

/** Calls `then` after `ms`, unless the caller has left. */
function after(ms: number, res: ServerResponse, then: () => void): void {
  const timer = setTimeout(then, ms);
  res.on("close", () => clearTimeout(timer));
}

/** Answers so far: each has an id of its own, so that an answer that was kept can be told from one that was made again. */
let answers = 0;

function stream(res: ServerResponse, id: string, answer: string, events: number, ms: number): void {
  res.writeHead(200, { "content-type": "text/event-stream" });
  let left = events;
  const timer = setInterval(() => {
    left -= 1;
    const content = left > 0 ? "…" : answer;
    const chunk = { id, object: "chat.completion.chunk", model: "m", choices: [{ index: 0, delta: { content } }] };
    res.write(`data: ${JSON.stringify(chunk)}\n\n`);
    if (left > 0) return;
    clearInterval(timer);
    res.end("data: [DONE]\n\n");
  }, ms / events);
  res.on("close", () => clearInterval(timer));
}

async function chat(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { ms, answer = "", bytes, early, events, promptTokens, outputTokens } = toldIn(await read(req, false));
  answers += 1;
  const id = `chatcmpl-${process.pid}-${answers}`;
  if (events !== undefined) return stream(res, id, answer, events, ms);
  const content = bytes === undefined ? JSON.stringify(answer) : `"${"x".repeat(bytes)}"`;
  const usage = { prompt_tokens: promptTokens, completion_tokens: outputTokens };
  const first = `{"id":"${id}","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":${content}},"finish_reason":"stop"}],`;
  const last = `"usage":${JSON.stringify(usage)}}`;
  const head = () => res.writeHead(200, { "content-type": "application/json" });
  if (early) head().write(first);
  after(ms, res, () => {
    if (!early) head().write(first);
    res.end(last);
  });
}

async function embeddings(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { input } = inputSchema.parse(JSON.parse(await read(req, true)));
  const inputs = typeof input === "string" ? [input] : input;
  const ms = Number(/^ms=(\d{1,6}) /.exec(inputs[0]?.slice(0, 20) ?? "")?.[1] ?? EMBEDDING_MS);
  const data = inputs.map((_, index) => `{"object":"embedding","index":${index},"embedding":${VECTOR}}`).join(",");
  after(ms, res, () => {
    res.writeHead(200, { "content-type": "application/json" });
    res.end(`{"object":"list","model":"e","data":[${data}],"usage":{"prompt_tokens":${inputs.length * 10}}}`);
  });
}

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  res.on("error", () => {});
  const path = (req.url ?? "/").split("?")[0];
  const work =
    path === "/v1/chat/completions" ? chat(req, res) : path === "/v1/embeddings" ? embeddings(req, res) : undefined;
  if (work === undefined) {
    req.resume();
    res.writeHead(200, { "content-type": "application/json" });
    res.end('{"object":"list","data":[{"id":"m","object":"model"},{"id":"e","object":"model"}]}');
    return;
  }
  work.catch(() => res.destroy());
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () =>
  process.send?.({ port: (server.address() as AddressInfo).port }),
);
process.on("disconnect", () => process.exit());
