/**
 * The mixed load: a quiet caller that asks once a second and tries again until it has its answer, and beside it calls with
 * and without Idempotency-Key, streams, jobs, documents, embeddings, and calls on the direct line. Keeps what was acknowledged.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import { AS_JOB, CHAT, chatBody, type Told } from "../case.ts";
import { Client, codeOf, type Reply } from "./client.ts";
import { type FaultCase, REFUSALS } from "./fault.ts";
import { type AcknowledgedJob, DocumentLedger, Seen } from "./ledger.ts";

/** Pause before a call is tried again, as clients do. */
const RETRY_MS = 250;
/** A call that has not been answered by then, with all tries, is lost. */
const LOST_MS = 90_000;
const COMPANY = "acme";

export interface LoadOptions {
  readonly edgeUrl: string;
  /** The listening end of the direct line; absent: none. */
  readonly lineUrl: string | undefined;
  readonly random: () => number;
  /** What clients may see. */
  readonly fault: Pick<FaultCase, "mayAnswer" | "forgetsAnswers" | "forgetsDocuments">;
}

const contentOf = ({ text }: Reply): string | undefined => /"content":"([^"]*)"/.exec(text)?.[1];

/** A running load. */
export class Load {
  readonly seen = new Seen();
  readonly documents = new DocumentLedger();
  readonly jobs: AcknowledgedJob[] = [];
  /** Violations: lost, twice, or wrong. */
  readonly lost: string[] = [];
  /** The quiet caller's longest time from the first try to the answer, in ms. */
  worstMs = 0;
  /** Its answers. */
  answered = 0;
  /** Multiplies the pauses between calls. */
  pace = 1;
  /** Keyed calls that were run again by a repetition although they had been answered. */
  ranAgain = 0;
  readonly #options: LoadOptions;
  readonly #quiet: Client;
  readonly #others: Client;
  readonly #line: Client | undefined;
  readonly #stopped = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #quietCalls = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#quiet = new Client(options.edgeUrl, "quiet");
    this.#others = new Client(options.edgeUrl, "attacker");
    this.#line = options.lineUrl === undefined ? undefined : new Client(options.lineUrl, "quiet");
  }

  start(): void {
    const quietCall = () => {
      const call: Promise<void> = this.#quietCall().finally(() => this.#quietCalls.delete(call));
      this.#quietCalls.add(call);
    };
    quietCall();
    this.#timer = setInterval(quietCall, 1000);
    const line = this.#line;
    const kinds = [
      () => this.#chat(this.#others, { ms: this.#between(20, 300) }),
      () => this.#chat(this.#others, { ms: this.#between(50, 500), events: this.#between(2, 20) }),
      () => this.#keyed(),
      () => this.#job(),
      () => this.#document(),
      () => this.#embeddings(),
      ...(line === undefined ? [] : [() => this.#chat(line, { ms: 30 })]),
    ];
    for (const kind of kinds) this.#loops.push(this.#repeat(kind));
  }

  /** Starts nothing more, and waits for what is under way with all its tries. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped.abort();
    await Promise.all([...this.#loops, ...this.#quietCalls]);
  }

  /** After `stop`: everything that was acknowledged must be found as it was. */
  async settle(): Promise<void> {
    const left = [...this.jobs];
    const worker = async () => {
      for (let job = left.pop(); job !== undefined; job = left.pop()) await this.#checkJob(job);
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    for (const title of this.documents.titles()) await this.#checkDocument(title);
  }

  close(): void {
    for (const client of [this.#quiet, this.#others, this.#line]) client?.close();
  }

  #between(from: number, to: number): number {
    return from + Math.floor(this.#options.random() * (to - from + 1));
  }

  async #repeat(kind: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await kind();
      await wait(this.#between(50, 200) * this.pace, undefined, { signal }).catch(() => {});
    }
  }

  /** Sends and notes what came. An answer that no fault explains is a violation. */
  async #ask(client: Client, ...asked: Parameters<Client["send"]>): Promise<Reply> {
    const reply = await client.send(...asked);
    this.seen.note(reply.status, reply.status < 300 ? "" : codeOf(reply));
    const { mayAnswer = [] } = this.#options.fault;
    const isKnown = reply.status < 300 || REFUSALS.includes(reply.status) || mayAnswer.includes(reply.status);
    const isMiss = reply.status === 404 && codeOf(reply) === "document_not_found";
    if (!isKnown && !isMiss) this.lost.push(`${asked[0]} ${asked[1].split("?")[0]}: ${reply.status} ${codeOf(reply)}`);
    return reply;
  }

  /** Repeats a call until it has one of these statuses. @returns undefined when it never had */
  async #until(statuses: readonly number[], ask: () => Promise<Reply>): Promise<Reply | undefined> {
    for (const end = performance.now() + LOST_MS; performance.now() < end; await wait(RETRY_MS)) {
      const reply = await ask();
      if (statuses.includes(reply.status)) return reply;
    }
    return undefined;
  }

  async #quietCall(): Promise<void> {
    const answer = randomUUID();
    const body = chatBody({ ms: 50, answer }, "quiet");
    const from = performance.now();
    const reply = await this.#until([200], () => this.#ask(this.#quiet, "POST", CHAT, { body, timeoutMs: 8000 }));
    this.worstMs = Math.max(this.worstMs, performance.now() - from - 50);
    if (reply === undefined) this.lost.push("a call of the quiet caller was never answered");
    else if (contentOf(reply) !== answer) this.lost.push("the quiet caller got another call's answer");
    else this.answered += 1;
  }

  async #chat(client: Client, told: Told): Promise<void> {
    const answer = randomUUID();
    const reply = await this.#ask(client, "POST", CHAT, { body: chatBody({ ...told, answer }) });
    if (reply.status !== 200) return;
    // A stream that was cut ends with an error and no [DONE]; then its text may be incomplete.
    const isWhole = told.events === undefined || reply.text.trimEnd().endsWith("[DONE]");
    if (isWhole && !reply.text.includes(answer)) {
      if (!/"error"/.test(reply.text)) this.lost.push("a call got another call's answer, or an incomplete one");
    }
  }

  /** A direct call with a key, repeated until it is answered, and sometimes once more. */
  async #keyed(): Promise<void> {
    const answer = randomUUID();
    const headers = { "idempotency-key": randomUUID() };
    const body = chatBody({ ms: this.#between(20, 200), answer });
    const ask = () => this.#ask(this.#others, "POST", CHAT, { body, headers });
    const first = await this.#until([200], ask);
    if (first === undefined) return void this.lost.push("a call with a key was never answered");
    if (contentOf(first) !== answer) this.lost.push("a call with a key got another answer");
    if (this.#options.random() < 0.5) return;
    const again = await this.#until([200], ask);
    if (again === undefined) this.lost.push("a repeated key was never answered");
    else if (again.text !== first.text) {
      this.ranAgain += 1;
      if (this.#options.fault.forgetsAnswers !== true) this.lost.push("a repeated key ran again");
    }
  }

  /** A job, submitted with one key until it is acknowledged, and sometimes once more. */
  async #job(): Promise<void> {
    const marker = randomUUID();
    const headers = { ...AS_JOB, "idempotency-key": randomUUID() };
    const body = chatBody({ ms: this.#between(50, 700), answer: marker });
    const ask = () => this.#ask(this.#others, "POST", CHAT, { body, headers });
    const accepted = await this.#until([202], ask);
    const id = /"id":\s*"(job_\w+)"/.exec(accepted?.text ?? "")?.[1];
    if (id === undefined) return void this.lost.push("a job was never accepted");
    this.jobs.push({ id, marker });
    await wait(this.#between(100, 400) * this.pace);
    if (this.#options.random() < 0.7) return;
    const again = await this.#until([202, 200], ask);
    if (again !== undefined && !again.text.includes(id)) this.lost.push(`one key made two jobs: ${id} and another`);
  }

  #titles = 0;
  #title = "";
  async #document(): Promise<void> {
    if (this.#title === "" || this.documents.isInDoubt(this.#title) || this.#options.random() < 0.1) {
      this.#titles += 1;
      this.#title = `t${this.#titles}`;
    }
    const title = this.#title;
    const path = this.#pathOf(title);
    const chance = this.#options.random();
    const before = this.documents.current(title);
    if (before === undefined || chance < 0.4) {
      const text = `text ${randomUUID()}`;
      const reply = await this.#ask(this.#others, "PUT", path, { body: JSON.stringify({ text }) });
      const isStored = /"stored":\s*true/.test(reply.text);
      if ((reply.status === 200 || reply.status === 201) && isStored) this.documents.acknowledged(title, text);
      else {
        this.documents.inDoubt(title, text);
        await wait(RETRY_MS);
      }
    } else if (chance < 0.55) {
      const reply = await this.#ask(this.#others, "DELETE", path);
      if (reply.status === 200) this.documents.acknowledged(title, null);
      else this.documents.inDoubt(title, null);
    } else await this.#readDocument(title, path);
  }

  async #embeddings(): Promise<void> {
    const body = JSON.stringify({ model: "e", input: [randomUUID()] });
    await this.#ask(this.#others, "POST", "/v1/embeddings", { body });
  }

  #pathOf(title: string): string {
    return `/v1/documents?company=${COMPANY}&title=${title}&include=chunks`;
  }

  async #readDocument(title: string, path: string): Promise<Reply> {
    const reply = await this.#ask(this.#others, "GET", path);
    const isAway = reply.headers["slm-miss"] === "store-away";
    if (reply.status !== 200 && (reply.status !== 404 || isAway)) return reply;
    const found = reply.status === 404 ? null : (/"(text [0-9a-f-]{36})"/.exec(reply.text)?.[1] ?? "");
    const problem = this.documents.problem(title, found);
    if (problem !== undefined && !(found === null && this.#options.fault.forgetsDocuments)) this.lost.push(problem);
    return reply;
  }

  async #checkDocument(title: string): Promise<void> {
    const isAnswer = (reply: Reply) => reply.status === 404 && reply.headers["slm-miss"] === "store-away";
    const read = async () => {
      const reply = await this.#readDocument(title, this.#pathOf(title));
      return isAnswer(reply) ? { ...reply, status: 503 } : reply;
    };
    if ((await this.#until([200, 404], read)) === undefined) this.lost.push(`the document ${title} cannot be read`);
  }

  async #checkJob({ id, marker }: AcknowledgedJob): Promise<void> {
    const path = `/v1/jobs/${id}`;
    const ask = (to: string, headers = {}) => this.#others.send("GET", to, { headers, timeoutMs: 40_000 });
    let state = "unknown";
    const ended = await this.#until([200], async () => {
      const view = await ask(path, { prefer: "wait=30" });
      state = /"state":\s*"(\w+)"/.exec(view.text)?.[1] ?? `${view.status} ${codeOf(view)}`;
      if (view.status === 404) return { ...view, status: 200 };
      return ["completed", "failed", "cancelled"].includes(state) ? view : { ...view, status: 409 };
    });
    if (ended === undefined || state !== "completed") {
      const why = /"attempts":\s*(\[.*?\])/.exec(ended?.text ?? "")?.[1] ?? "";
      return void this.lost.push(`the acknowledged job ${id} is ${state} ${why}`);
    }
    const result = await this.#until([200], () => ask(`${path}/result`));
    const again = await this.#until([200], () => ask(`${path}/result`));
    if (result === undefined || contentOf(result) !== marker)
      this.lost.push(`the result of ${id} is lost or another's`);
    else if (again?.text !== result.text) this.lost.push(`the result of ${id} has changed`);
  }
}
