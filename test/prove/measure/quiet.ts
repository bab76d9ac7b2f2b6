/**
 * The quiet caller: one chat request a second, by the clock, whether or not the last one was answered, and beside it the
 * control, the same request through the same edge and tunnel to the model server, without the relay. What the control waits
 * is the machine's doing (the attack loads edge and cloudflared as well), and no fault of the relay.
 */
import { Agent, request } from "node:http";
import { setTimeout as wait } from "node:timers/promises";
import { AS_JOB, CHAT, chatBody, type QuietWork } from "../case.ts";
import { CONTROL_HOST, HOST, type TOKENS, tokenHeaders } from "./messages.ts";

/** Time its own request keeps a slot. What is measured is the time above this. */
export const OWN_MS = 50;
const EVERY_MS = 1000;
const CONTROL_EVERY_MS = 250;
const ALSO_EVERY_MS = 3000;
/** A request not answered by then is lost. Far above every bound, so that what is lost has also been too late. */
const LOST_MS = 12_000;

/** What the quiet caller has seen. */
export interface Seen {
  /** Times above `OWN_MS` from sending to the answer's end, in ms; a lost request counts with the time until it was given up. */
  readonly waits: number[];
  readonly controlWaits: number[];
  /** One line for each answer that was lost, refused or wrong. */
  readonly wrong: string[];
  asked: number;
}

/** Who asks, and what. */
export interface QuietOptions {
  readonly edgeUrl: string;
  readonly token: keyof typeof TOKENS;
  /** Sent as `Slm-Company`. */
  readonly company?: string;
  readonly also: readonly QuietWork[];
}

interface Reply {
  readonly status: number;
  readonly text: string;
}

/** A quiet caller that has begun to ask. */
export class Quiet {
  readonly seen: Seen = { waits: [], controlWaits: [], wrong: [], asked: 0 };
  readonly #options: QuietOptions;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #pending = new Set<Promise<void>>();
  /** Paths of its jobs and what each must answer. */
  readonly #jobs: { path: string; answer: string }[] = [];
  #counted = 0;

  constructor(options: QuietOptions) {
    this.#options = options;
  }

  start(): void {
    const every = (ms: number, work: () => Promise<void>) => {
      const once = () => {
        const pending: Promise<void> = work().finally(() => this.#pending.delete(pending));
        this.#pending.add(pending);
      };
      once();
      this.#timers.push(setInterval(once, ms));
    };
    every(EVERY_MS, () => this.#chat());
    every(CONTROL_EVERY_MS, () => this.#control());
    if (this.#options.also.includes("job")) every(ALSO_EVERY_MS, () => this.#job());
    if (this.#options.also.includes("document")) every(ALSO_EVERY_MS, () => this.#document());
  }

  /** Asks no more and waits for the answers that are still to come. */
  async finish(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    await Promise.all(this.#pending);
  }

  /** After the attack: one more answer must come, and every job must have ended with the right one. */
  async afterwards(): Promise<void> {
    await this.#chat();
    for (const { path, answer } of this.#jobs) {
      const reply = await this.#result(path);
      if (reply.status !== 200 || contentOf(reply.text) !== answer) this.#wrong("result of a job", reply);
    }
    this.#agent.destroy();
  }

  /** Until the relay has answered once. @throws when it does not within 20 s */
  async warmUp(): Promise<void> {
    const deadline = performance.now() + 20_000;
    for (let warm = 0; warm < 3; ) {
      const reply = await this.#send("POST", CHAT, HOST, chatBody({ ms: 1, answer: "warm" })).catch(() => undefined);
      if (reply?.status === 200) warm += 1;
      else if (performance.now() > deadline)
        throw new Error(`no answer before the attack: ${reply?.status} ${reply?.text}`);
      else await wait(100);
    }
  }

  async #chat(): Promise<void> {
    this.seen.asked += 1;
    this.seen.waits.push(await this.#ask(HOST, "answer"));
  }

  async #control(): Promise<void> {
    this.seen.controlWaits.push(await this.#ask(CONTROL_HOST, "answer of the control"));
  }

  /** @returns the wait */
  async #ask(host: string, what: string): Promise<number> {
    this.#counted += 1;
    const answer = `answer ${this.#counted} to ${this.#options.token}`;
    const from = performance.now();
    const body = chatBody({ ms: OWN_MS, answer }, `question ${this.#counted}`);
    const reply = await this.#send("POST", CHAT, host, body).catch(asLost);
    if (reply.status !== 200 || contentOf(reply.text) !== answer) this.#wrong(what, reply);
    return Math.max(0, performance.now() - from - OWN_MS);
  }

  async #job(): Promise<void> {
    this.#counted += 1;
    const answer = `answer of job ${this.#counted}`;
    const body = chatBody({ ms: OWN_MS, answer });
    const reply = await this.#send("POST", CHAT, HOST, body, AS_JOB).catch(asLost);
    const id = /"id":"(job_\w+)"/.exec(reply.text)?.[1];
    if (reply.status !== 202 || id === undefined) this.#wrong("job", reply);
    else this.#jobs.push({ path: `/v1/jobs/${id}/result`, answer });
  }

  async #document(): Promise<void> {
    this.#counted += 1;
    const text = `text ${this.#counted}`;
    const path = `/v1/documents?company=${this.#options.company ?? "quiet"}&title=t${this.#counted}`;
    const put = await this.#send("PUT", path, HOST, JSON.stringify({ text })).catch(asLost);
    if (put.status !== 201) return this.#wrong("document", put);
    const got = await this.#send("GET", `${path}&include=chunks`, HOST).catch(asLost);
    if (got.status !== 200 || !got.text.includes(`"${text}"`)) this.#wrong("document read again", got);
  }

  async #result(path: string): Promise<Reply> {
    for (let tries = 0; ; tries += 1) {
      const reply = await this.#send("GET", path, HOST, undefined, { prefer: "wait=5" }).catch(asLost);
      if (reply.status !== 409 || tries >= 5) return reply;
    }
  }

  #wrong(what: string, { status, text }: Reply): void {
    const code = /"code":\s*"(\w+)"/.exec(text)?.[1] ?? text.slice(0, 60);
    this.seen.wrong.push(`${what}: ${status === 0 ? "lost" : status} ${code}`.trim());
  }

  #send(method: string, path: string, host: string, body?: string, extra: Record<string, string> = {}): Promise<Reply> {
    const { edgeUrl, token, company } = this.#options;
    const headers = {
      host,
      ...tokenHeaders(token),
      ...(company === undefined ? {} : { "slm-company": company }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...extra,
    };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(LOST_MS);
      const sent = request(`${edgeUrl}${path}`, { method, headers, agent: this.#agent, signal }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (piece: string) => {
          text += piece;
        });
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      });
      sent.on("error", reject);
      sent.on("close", () => reject(new Error("the connection ended")));
      sent.end(body);
    });
  }
}

const asLost = (cause: unknown): Reply => ({ status: 0, text: cause instanceof Error ? cause.message : String(cause) });

function contentOf(text: string): string | undefined {
  return /"content":"([^"]*)"/.exec(text)?.[1];
}
