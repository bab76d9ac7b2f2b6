/** What a case is: one attack, and what must hold for the quiet caller while it goes on. One file a case, in `cases/`. */

/** A request of the attacker. It goes through the edge and cloudflared with the attacker's service token. */
export interface AttackRequest {
  /** @default "POST" */
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** Sends this many bytes of the body at once and then one byte every `everyMs`, without ever reaching the end. */
  readonly trickle?: { readonly afterBytes: number; readonly everyMs: number };
  /**
   * `nothing`: takes the headers, then leaves the body unread until the attack ends; `trickle`: reads some of it now and
   * then, so that it never stands still. @default "all"
   */
  readonly read?: "all" | "nothing" | "trickle";
  /** Closes the connection after so many milliseconds. */
  readonly leaveAfterMs?: number;
}

/** What came back. */
export interface AttackReply {
  /** 0 when the connection ended without an answer. */
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The first 64 KiB. */
  readonly text: string;
}

/** The hands of an attacker: one valid token, and no other right. */
export interface Attacker {
  /** Fires when the attack has to end. */
  readonly signal: AbortSignal;
  /** Seeded: the same seed gives the same attack. In [0, 1). */
  random(): number;
  /** Sends one request. Never rejects. After 20,000 requests of one attack it sends nothing more. */
  send(request: AttackRequest): Promise<AttackReply>;
  /** Runs `count` workers side by side; each repeats `work` until the attack ends, with a pause of 250 ms after a refusal. */
  repeat(count: number, work: () => Promise<AttackReply | undefined>): Promise<void>;
  /** Waits, or until the attack ends. */
  pause(ms: number): Promise<void>;
  /** Says that the preparations are over: from here on the attack is measured. Called by `repeat` if nobody did. */
  begun(): void;
}

/** What the attacker saw, by status (0: no answer). */
export interface AttackOutcome {
  readonly requests: number;
  readonly statuses: Readonly<Record<string, number>>;
}

/** What the quiet caller does besides its chat request every second. */
export type QuietWork = "job" | "document";

/** One attack. */
export interface Case {
  /** For `--case`; lower case with dashes. */
  readonly name: string;
  /** What the attacker does, in one sentence. */
  readonly attack: string;
  /**
   * The longest time that what the attacker has running keeps a slot which the quiet caller may need, in ms. Zero when its
   * requests never reach the model server, or leave a slot free by rule (jobs).
   */
  readonly serviceMs: number;
  /** What one round of the other flows may take on top, in ms. @default `serviceMs` */
  readonly roundMs?: number;
  /** `company`: the quiet one is another company of the attacker's own caller. @default "caller" */
  readonly quietIs?: "caller" | "company";
  /** Done every 3 s by the quiet caller too; every one must succeed. @default [] */
  readonly quietAlso?: readonly QuietWork[];
  /** Must the relay have refused some of it (429, 503, 507)? So for what must be bounded by a count. @default false */
  readonly mustRefuse?: boolean;
  /** Part of the form that `npm test` runs. @default false */
  readonly quick?: boolean;
  /** Attacks until `attacker.signal` fires. What it throws fails the case. */
  run(attacker: Attacker): Promise<void>;
}

/** The fields of a chat body that tell the model server of this suite how to answer. See `measure/model.ts`. */
export interface Told {
  /** Time in the slot, in ms. */
  readonly ms: number;
  readonly answer?: string;
  /** Length of the answer in bytes, instead of `answer`. */
  readonly bytes?: number;
  /** Sends `bytes` first and the rest after `ms`. */
  readonly early?: boolean;
  /** Answers as an event stream of so many pieces, spread over `ms`; the last one has `answer`. */
  readonly events?: number;
  /** Tokens the model server reports. By default a request costs a little more than a turn of its flow. @default 200 */
  readonly promptTokens?: number;
  /** @default 100 */
  readonly outputTokens?: number;
}

/** The path of a chat request. */
export const CHAT = "/v1/chat/completions";

/** A chat request's body. `content` is what makes it long. The fields for the model server stand at its end. */
export function chatBody(told: Told, content: unknown = "hello"): string {
  const stream = told.events !== undefined && { stream: true };
  return JSON.stringify({ model: "m", messages: [{ role: "user", content }], max_tokens: 256, ...stream, prove: told });
}

/** Headers of a request that is to become a job. */
export const AS_JOB: Readonly<Record<string, string>> = { prefer: "respond-async" };
