/**
 * What depends on whose API a path belongs to. A dialect is data and pure functions: routes, framing of answers, heartbeats,
 * errors, headers, where an answer states its usage. Adding one takes a file and a line in `dialects.ts`.
 */
import type { ModelConfig } from "../../model-config.ts";
import type { ModelServerApi } from "../../model-servers.ts";
import type { ErrorObject } from "../errors.ts";

/** The queues for slots of the model server. Each has its own slots: an embedding never waits behind a chat. */
export type QueueName = "chat" | "embeddings";

/** How an answer's body is made up. */
export interface Framing {
  /** Begins the Content-Type of a model server's answer in this framing; lower case. */
  readonly mediaType: string;
  /** Content-Type of an answer whose head the relay writes itself, before the model server has answered. */
  readonly contentType: string;
  /** Bytes that clients skip. They keep the connection alive while there is nothing to send. */
  readonly heartbeat: string;
  /**
   * Line feeds (carriage returns beside them do not count) with which a part of the body ends, so that a heartbeat or an
   * error may follow. "never": the body is one value, and only bytes before it are skipped.
   */
  readonly partEndsWith: 1 | 2 | "never";
  /**
   * When the first heartbeat is due, which commits the status 200: "early" where clients read the error of a late failure
   * from the stream, "late" where an honest status is worth more.
   */
  readonly firstHeartbeat: "early" | "late";
  /** An error within an answer whose status has been sent. */
  error(error: ErrorObject): string;
  /** A whole JSON answer that came in place of this framing, whose head has been sent. */
  wrap(json: unknown): string;
}

/** A check of one member of a request's outermost JSON object. */
export interface MemberCheck {
  /** Matched as Go's decoder matches keys: without regard to case. */
  readonly member: string;
  /** Longest value that is parsed, in bytes as written. */
  readonly longest: number;
  /**
   * @param value parsed; undefined for one that is longer
   * @param shown the value as written, shortened, for an error's message
   * @param model what the stack's config allows
   * @throws RelayError
   */
  check(value: unknown, shown: string, model: Pick<ModelConfig, "options">): void;
}

/** A call that goes to the model server. */
export interface ModelRoute {
  readonly kind: "model";
  /** The path, or its pattern for people: names the route in metrics and log. */
  readonly name: string;
  /** Matches the whole path as received. @default `name` */
  readonly pattern?: { test(path: string): boolean };
  /** GET includes HEAD. Only a POST has a body, which must be one JSON object. */
  readonly method: "GET" | "POST";
  /** Whose slots the call takes. Absent: it takes none. */
  readonly queue?: QueueName;
  /**
   * Whether the answer is streamed: never (absent), when the body has `"stream": true`, or unless it has `"stream": false`;
   * and how a stream is framed.
   */
  readonly streams?: { readonly when: "asked" | "unless_declined"; readonly framing: Framing };
  /** May be answered by the fallback server. Never embeddings: vectors of another model do not compare. */
  readonly mayFallBack?: true;
  /** The headers of the call may name a document that its inputs belong to. */
  readonly mayNameDocument?: true;
  /** The call can be run in the background as OpenAI defines it: `background` of the body. */
  readonly mayRunInBackground?: true;
  /** The model server may keep the answer under an id, for its caller alone. */
  readonly makesResponse?: true;
  /** The answer lists models: those that callers may not use are removed from it. */
  readonly listsModels: boolean;
  /** The request may ask for vectors as base64 (`encoding_format`), which the relay makes where the model server does not. */
  readonly mayAskBase64?: true;
  /** Keys that name the model. @default ["model"] */
  readonly modelKeys?: readonly string[];
  /** Further members of the body that the relay reads. */
  readonly reads?: readonly string[];
  /** Which model servers have the path, in words, where not every one of a kind that serves the dialect does. */
  readonly servers?: string;
}

/** A path of the API that the relay answers itself, from its jobs. */
export interface ApiJobRoute {
  readonly kind: "job";
  readonly act: "response" | "cancel_response";
  /** The path, with `{id}` in place of the job's name. */
  readonly name: string;
  readonly methods: readonly string[];
}

/** Keys of the numbers that an answer states its tokens with. The last one that stands in it counts. */
export interface UsageKeys {
  readonly prompt: readonly string[];
  readonly output: readonly string[];
  /** Tokens of the prompt that came from the model server's cache. */
  readonly cached: readonly string[];
  /** Counted beside `prompt` where that leaves out the tokens of the cache. @default none */
  readonly besidePrompt?: readonly string[];
  /** Where they stand; a stream may state the prompt's tokens in its first event already. */
  readonly at: "end" | "start_and_end";
}

export interface Dialect {
  readonly name: string;
  /** For messages. */
  readonly title: string;
  /**
   * Begins every path of the API, those that the relay does not serve included: their errors have this dialect's envelope.
   * @default none
   */
  readonly prefix?: string;
  /** Whether model servers of that API serve its paths. */
  readonly servedBy: Readonly<Record<ModelServerApi, boolean>>;
  readonly routes: readonly (ModelRoute | ApiJobRoute)[];
  /** An answer that is not streamed. */
  readonly json: Framing;
  /** Framings that an answer can have beside the one of its route, told by its Content-Type. */
  readonly framings: readonly Framing[];
  /** The body of an answer with an error's status, as JSON. */
  errorBody(error: ErrorObject): string;
  /** Headers that pass beside those that pass for every dialect (`http/header-filters.ts`); lower case. */
  readonly headers: {
    readonly toModel: readonly string[];
    readonly fromModel: readonly string[];
    readonly fromModelPrefixes: readonly string[];
  };
  readonly usage: UsageKeys;
  /** Keys of a request with which it bounds the tokens of its answer. */
  readonly answerLimits: readonly string[];
  /** Checks besides the one of `keep_alive`, which applies to every dialect (`body-checks.ts`). */
  readonly bodyChecks: readonly MemberCheck[];
  /** Opts out of the check of `keep_alive`: no model server reads that member on these paths. */
  readonly keepAliveIsHarmless?: true;
}
