/** The model server's stand-in, as a process of its own: answers at once, or streams 100 events a second. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const EVENT = `data: ${JSON.stringify({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] })}\n\n`;
const LAST =
  'data: {"choices":[],"usage":{"prompt_tokens":200,"completion_tokens":300,"total_tokens":500}}\n\ndata: [DONE]\n\n';
const WHOLE = JSON.stringify({
  id: "chatcmpl-1",
  choices: [{ index: 0, message: { role: "assistant", content: "x".repeat(700) }, finish_reason: "stop" }],
  usage: { prompt_tokens: 200, completion_tokens: 175, total_tokens: 375 },
});
const EVERY_MS = 10;
/** No model gives its first token at once; at once, the measure would be that of the greatest throughput again. */
const FIRST_MS = 20;

const streams = new Map<ServerResponse, number>();
setInterval(() => {
  for (const [res, left] of streams) {
    if (left > 0) {
      res.write(EVENT);
      streams.set(res, left - 1);
    } else {
      res.end(LAST);
      streams.delete(res);
    }
  }
}, EVERY_MS);

const VECTOR = `[${Array.from({ length: 1024 }, (_, i) => Math.fround(Math.sin(i + 1) / 32)).join(",")}]`;

/** A vector of 1,024 numbers for each input. */
async function embed(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) chunks.push(chunk as Buffer);
  const { input } = JSON.parse(Buffer.concat(chunks).toString()) as { input: string[] };
  const data = input.map((_, index) => `{"object":"embedding","index":${index},"embedding":${VECTOR}}`);
  res.writeHead(200, { "Content-Type": "application/json" }).end(`{"object":"list","data":[${data.join(",")}]}`);
}

// The query says what is wanted: ?events=N streams N of them, ?first ends after one that comes after 20 ms, ?hang never answers.
const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  if (req.url === "/v1/embeddings") {
    void embed(req, res);
    return;
  }
  req.resume();
  req.on("end", () => {
    const query = new URL(req.url ?? "/", "http://model").searchParams;
    const events = Number(query.get("events") ?? 0);
    if (query.has("hang")) return;
    if (events > 0) {
      res.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
      streams.set(res, events);
      res.on("close", () => streams.delete(res));
    } else if (query.has("first")) {
      setTimeout(() => res.writeHead(200, { "Content-Type": "text/event-stream" }).end(EVENT + LAST), FIRST_MS);
    } else {
      res.writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(WHOLE) }).end(WHOLE);
    }
  });
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit());
