/** `/status/events`: the state of the page as server-sent events, computed once for all who watch. */
import { MAX_PAGE_STREAMS, MAX_PAGE_STREAMS_PER_PERSON } from "../memory/holdings.ts";
import { tooManyStreams } from "../too-many-requests.ts";
import type { PageState } from "./page-data.ts";

/** Between two events. Cloudflare ends a request after 100 s without a byte. */
const EVERY_MS = 2000;
/** Longest delay of a timer. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** As much of a response as is written to. */
export interface EventSink {
  readonly writableNeedDrain: boolean;
  readonly closed: boolean;
  writeHead(status: number, headers: Record<string, string>): unknown;
  write(text: string): unknown;
  end(text?: string): unknown;
  once(event: "close", act: () => void): unknown;
}

/** Whose stream it is. */
export interface Watcher {
  readonly name: string;
  /** When the sign-in ends, in ms since 1970: the stream ends with it. */
  readonly expiresAt: number;
}

interface Stream {
  readonly res: EventSink;
  readonly name: string;
  readonly timer: NodeJS.Timeout;
  /** It has everything up to the last event. */
  isCurrent: boolean;
}

/**
 * Each event is `event: state` with a JSON object of the parts of `PageState` that changed, and `at`; the first one of a
 * stream has all of them. A reader that falls behind gets all of them again once it has caught up: nothing is queued for it.
 */
export class LiveFeed {
  readonly #state: () => Promise<PageState>;
  readonly #onFailure: (cause: unknown) => void;
  readonly #everyMs: number;
  readonly #streams = new Set<Stream>();
  #parts = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #computing: Promise<void> | undefined;
  #closed = false;

  /** @param onFailure told when `state` rejects: nothing is sent then, and the page says that it is not up to date */
  constructor(state: () => Promise<PageState>, onFailure: (cause: unknown) => void = () => {}, everyMs = EVERY_MS) {
    this.#state = state;
    this.#onFailure = onFailure;
    this.#everyMs = everyMs;
  }

  /** Open streams. */
  get size(): number {
    return this.#streams.size;
  }

  /** Answers with the stream. @throws RelayError `too_many_streams` */
  async open(res: EventSink, { name, expiresAt }: Watcher): Promise<void> {
    const own = [...this.#streams].filter((stream) => stream.name === name).length;
    if (own >= MAX_PAGE_STREAMS_PER_PERSON) throw tooManyStreams(MAX_PAGE_STREAMS_PER_PERSON);
    if (this.#streams.size >= MAX_PAGE_STREAMS) throw tooManyStreams(MAX_PAGE_STREAMS);
    const signOut = () => this.#end(stream, "signed-out");
    const timer = setTimeout(signOut, Math.min(Math.max(0, expiresAt - Date.now()), LONGEST_TIMER_MS));
    timer.unref();
    const stream: Stream = { res, name, timer, isCurrent: false };
    this.#streams.add(stream);
    res.once("close", () => this.#forget(stream));
    res.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no" });
    res.write("retry: 3000\n\n");
    if (this.#closed) return this.#end(stream, "closing");
    this.#timer ??= setInterval(() => void this.refresh(), this.#everyMs);
    await this.refresh();
  }

  /** Sends what has changed now. Never rejects. */
  async refresh(): Promise<void> {
    this.#computing ??= this.#send()
      .catch(this.#onFailure)
      .finally(() => {
        this.#computing = undefined;
      });
    await this.#computing;
  }

  /** Ends all streams, and those that are opened later: the browser connects again, to the next relay. */
  close(): void {
    this.#closed = true;
    for (const stream of [...this.#streams]) this.#end(stream, "closing");
  }

  async #send(): Promise<void> {
    const state = await this.#state();
    const parts = new Map(Object.entries(state).map(([name, part]) => [name, JSON.stringify(part)]));
    const changed = [...parts].filter(([name, text]) => this.#parts.get(name) !== text);
    this.#parts = parts;
    const patch = eventOf(changed);
    for (const stream of [...this.#streams]) {
      const canTake = !stream.res.writableNeedDrain;
      if (canTake) stream.res.write(stream.isCurrent ? patch : eventOf([...parts]));
      stream.isCurrent = canTake;
    }
  }

  #end(stream: Stream, event: "signed-out" | "closing"): void {
    this.#forget(stream);
    if (!stream.res.closed) stream.res.end(`event: ${event}\ndata: {}\n\n`);
  }

  #forget(stream: Stream): void {
    clearTimeout(stream.timer);
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#parts.clear();
  }
}

const eventOf = (parts: readonly (readonly [string, string])[]): string =>
  `event: state\ndata: {${parts.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(",")}}\n\n`;
