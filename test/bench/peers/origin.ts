/**
 * The model server that all gateways stand before, as a process of its own. The question begins with what is wanted (gateways
 * keep headers and queries back): `[first]` (a stream whose first event comes after 20 ms), `[events=N]` (100 a second), `[slot]` (one of four slots for 100 ms, others wait in order
 * without a bound, and whose caller left is computed to its end, as servers do that notice it late), else an answer at once.
 */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const SLOTS = 4;
const SERVICE_MS = 100;
const FIRST_MS = 20;
const EVERY_MS = 10;
const chunk = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m" };
const EVENT = `data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta: { content: "word " }, finish_reason: null }] })}\n\n`;
const LAST = `data: ${JSON.stringify({ ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\ndata: [DONE]\n\n`;
const WHOLE = JSON.stringify({
  id: "chatcmpl-1",
  object: "chat.completion",
  created: 1,
  model: "m",
  choices: [{ index: 0, message: { role: "assistant", content: "x".repeat(700) }, finish_reason: "stop" }],
  usage: { prompt_tokens: 200, completion_tokens: 175, total_tokens: 375 },
});

const streams = new Map<ServerResponse, number>();
setInterval(() => {
  for (const [res, left] of streams) {
    res.write(left > 0 ? EVENT : LAST);
    if (left > 0) streams.set(res, left - 1);
    else {
      res.end();
      streams.delete(res);
    }
  }
}, EVERY_MS);

let [running, wasted] = [0, 0];
const waiting: ServerResponse[] = [];
const whole = (res: ServerResponse): void =>
  void res
    .writeHead(200, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(WHOLE) })
    .end(WHOLE);

function compute(): void {
  while (running < SLOTS) {
    const res = waiting.shift();
    if (res === undefined) return;
    if (res.destroyed) continue; // left while it waited
    running += 1;
    setTimeout(() => {
      running -= 1;
      if (res.destroyed) wasted += 1;
      else whole(res);
      compute();
    }, SERVICE_MS);
  }
}

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  req.on("end", () => {
    if (req.url === "/bench") return void res.end(JSON.stringify({ slots: SLOTS, serviceMs: SERVICE_MS, wasted }));
    if (req.method === "GET") return void res.end('{"object":"list","data":[{"id":"m","object":"model"}]}');
    const wanted = new URLSearchParams(/"\[([\w=]+)\]/.exec(Buffer.concat(chunks).toString())?.[1] ?? "");
    if (wanted.has("slot")) {
      waiting.push(res);
      return compute();
    }
    if (wanted.has("first")) {
      setTimeout(() => res.writeHead(200, { "Content-Type": "text/event-stream" }).end(EVENT + LAST), FIRST_MS);
    } else if (wanted.has("events")) {
      res.writeHead(200, { "Content-Type": "text/event-stream" }).flushHeaders();
      streams.set(res, Number(wanted.get("events")));
      res.on("close", () => streams.delete(res));
    } else whole(res);
  });
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit());
