/** One streamed chat: when its tokens came, and what it says it used. */
import { type Dispatcher, request } from "undici";
import type { Target } from "./target.ts";
import { reason } from "./target.ts";
import { type Counts, type Question, readLine, WIRES } from "./wire.ts";

/** What came of one call. Times are of `performance.now()`, in ms. */
export interface Call {
  readonly startedAt: number;
  /** Of each piece with text. */
  readonly pieces: readonly number[];
  readonly endedAt: number;
  /** As the server says, else the number of pieces. */
  readonly outputTokens: number;
  readonly promptTokens: number | undefined;
  /** Prompt tokens that the server took from its cache, where it says so. */
  readonly cachedTokens: number | undefined;
  /** `cut`: we ended it. `refused`: 429 or 503. */
  readonly outcome: "done" | "cut" | "refused" | "failed";
  /** Why it was refused or failed. */
  readonly why?: string;
}

/** A kept connection that the server closed just when the request was sent: it never saw the request. */
const CLOSED = /other side closed|ECONNRESET|EPIPE|socket hang up/i;

/** Sends one question and reads its answer to the end, or until `signal`. Never rejects. */
export async function call(
  target: Target,
  question: Question,
  signal: AbortSignal,
  dispatcher: Dispatcher,
): Promise<Call> {
  const first = await tryCall(target, question, signal, dispatcher);
  const isClosed = first.outcome === "failed" && first.pieces.length === 0 && CLOSED.test(first.why ?? "");
  return isClosed ? tryCall(target, question, signal, dispatcher) : first;
}

async function tryCall(target: Target, question: Question, signal: AbortSignal, dispatcher: Dispatcher): Promise<Call> {
  const startedAt = performance.now();
  const wire = WIRES[target.api];
  const pieces: number[] = [];
  const counts: Counts = {};
  const end = (outcome: Call["outcome"], why?: string): Call => ({
    startedAt,
    pieces,
    endedAt: performance.now(),
    outputTokens: counts.output ?? pieces.length,
    promptTokens: counts.prompt,
    cachedTokens: counts.cached,
    outcome,
    ...(why !== undefined && { why }),
  });
  try {
    const answer = await request(target.url + wire.chatPath, {
      method: "POST",
      headers: { ...target.headers, "content-type": "application/json" },
      body: JSON.stringify(wire.chatBody(target.model, question)),
      signal,
      dispatcher,
      headersTimeout: 0, // bounded by the signal
      bodyTimeout: 0,
    });
    if (answer.statusCode !== 200) {
      const text = (await answer.body.text()).slice(0, 200);
      const refused = answer.statusCode === 429 || answer.statusCode === 503;
      return end(refused ? "refused" : "failed", `${answer.statusCode} ${text}`);
    }
    let rest = "";
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      const lines = (rest + chunk.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (readLine(line, target.api, counts)) pieces.push(performance.now());
    }
    if (rest !== "" && readLine(rest, target.api, counts)) pieces.push(performance.now());
    return end("done");
  } catch (error) {
    return signal.aborted ? end("cut") : end("failed", reason(error));
  }
}
