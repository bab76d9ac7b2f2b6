/** Reads along what a model server's answer says about itself: usage, model, id, why it ended. Never its text. */
import type { Dialect } from "../dialects/dialect.ts";
import type { Sink } from "../http/answer-writer.ts";
import { MeteredSink } from "../model/metered-sink.ts";
import type { Usage } from "../usage/usage.ts";

/** Bytes of an answer's start and end that are searched. */
const EDGE_BYTES = 2048;

// Within a JSON string quotes are escaped, so these match keys only. Their values are bounded, and ids and names.
const ID = /"id"\s{0,9}:\s{0,9}"([\w.:-]{1,128})"/;
const MODEL = /"model"\s{0,9}:\s{0,9}"([\w.:/@-]{1,128})"/;
const FINISH = /"(?:finish_reason|stop_reason|done_reason)"\s{0,9}:\s{0,9}"(\w{1,64})"/g;

/** The model that a request names, searched in its first and last 2 KiB. */
export function modelIn(body: Uint8Array | null): string | undefined {
  if (body === null) return undefined;
  const text = (from: number, to: number) =>
    Buffer.from(body.buffer, body.byteOffset + from, to - from).toString("latin1");
  const first = MODEL.exec(text(0, Math.min(body.length, EDGE_BYTES)));
  return first?.[1] ?? MODEL.exec(text(Math.max(0, body.length - EDGE_BYTES), body.length))?.[1];
}

/** Passes an answer on. */
export class AnswerFacts implements Sink {
  readonly #to: MeteredSink;
  readonly #startedAt = performance.now();
  #start = "";
  #end = "";

  constructor(to: Sink, dialect: Dialect) {
    this.#to = new MeteredSink(to, dialect);
  }

  get status(): number | undefined {
    return this.#to.status;
  }

  get usage(): Usage {
    return this.#to.meter.usage();
  }

  get isStream(): boolean {
    return this.#to.meter.events > 0;
  }

  /** From the call to the first byte of the answer's body, in seconds. */
  get firstChunkSeconds(): number | undefined {
    return this.#to.firstAt === undefined ? undefined : (this.#to.firstAt - this.#startedAt) / 1000;
  }

  get id(): string | undefined {
    return ID.exec(this.#start)?.[1];
  }

  get model(): string | undefined {
    return MODEL.exec(this.#start)?.[1];
  }

  get finishReasons(): string[] {
    return [...this.#end.matchAll(FINISH)].map(([, reason]) => reason!);
  }

  head(status: number, headers: Parameters<Sink["head"]>[1]): void {
    this.#to.head(status, headers);
  }

  write(chunk: Buffer): boolean {
    if (this.#start.length < EDGE_BYTES) this.#start += chunk.toString("latin1", 0, EDGE_BYTES - this.#start.length);
    this.#end = (this.#end + chunk.toString("latin1", Math.max(0, chunk.length - EDGE_BYTES))).slice(-EDGE_BYTES);
    return this.#to.write(chunk);
  }

  end(): void {
    this.#to.end();
  }

  onceDrained(go: () => void): void {
    this.#to.onceDrained(go);
  }
}
