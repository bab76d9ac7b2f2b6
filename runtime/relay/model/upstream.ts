/** The local model server: forwards a request and streams the answer back as it comes. */
import type { IncomingHttpHeaders } from "node:http";
import { type Dispatcher, Pool } from "undici";
import type { ModelConfig } from "../../model-config.ts";
import { basePath, modelServer } from "../../model-servers.ts";
import type { Dialect } from "../dialects/dialect.ts";
import { RelayError } from "../errors.ts";
import type { Sink } from "../http/answer-writer.ts";
import { ClientDisconnected } from "../http/body.ts";
import { type Breaker, createBreaker } from "./breaker.ts";
import { KeyRefusal, keyHeader, keyRefused } from "./key-refusal.ts";
import { createRefuseRemote, type RefuseRemote } from "./remote-models.ts";

/** A request as the model server gets it. */
export interface UpstreamCall {
  readonly method: string;
  /** Path and query as the caller sent them. */
  readonly target: string;
  readonly headers: Record<string, string>;
  /** The bytes the caller sent; null without a body. */
  readonly body: Buffer | null;
  /** Whose API the target belongs to. */
  readonly dialect: Dialect;
  /** The model that the body names, where that is known. For traces. */
  readonly model?: string | undefined;
  /** Aborts when the client has disconnected: the connection to the model server is closed at once. */
  readonly signal: AbortSignal;
  /**
   * It takes no slot: it uses a pool of its own, so that slow calls of this kind, or slow readers, never keep a call that
   * has a slot waiting for a connection. @default false
   */
  readonly slotless?: boolean;
}

/** What a probe of the model server found. */
export type ModelState =
  | { readonly reachable: true; readonly models: readonly string[]; readonly checkedAt: string }
  | {
      readonly reachable: false;
      readonly reason: string;
      readonly checkedAt: string;
      /** It answers, and wants a key or another one. */
      readonly keyRefused?: true;
    };

export interface Upstream {
  /**
   * Sends the call and writes the answer into `to`, status and body as they come, byte for byte, with back-pressure. Nothing
   * is retried. Resolves at the answer's end. Rejects with `model_down` (at once, nothing was sent), `model_unreachable`,
   * `model_broke_off`, `model_timeout`, `model_server_denied`, or ClientDisconnected; if the answer had begun, the caller of `forward` must cut the
   * connection or send the error within the answer, so that a truncated answer never looks whole.
   */
  forward(call: UpstreamCall, to: Sink): Promise<void>;
  /** Requests the model list: within 2 s, at most once every 5 s (else the last finding). Never rejects. */
  look(): Promise<ModelState>;
  readonly breaker: Breaker;
  /** Undefined where no model can be remote. */
  readonly refuseRemote: RefuseRemote | undefined;
  /** Drops all connections. */
  close(): Promise<void>;
}

/** Seconds. */
const TIMEOUTS = { connect: 5, firstByte: 900, silence: 300 };
const LOOK_MS = 2000;
const LOOK_AGAIN_MS = 5000;

/** A pool of connections to an HTTP server. Opens none yet; proxies of the environment are not used. */
export function openPool(url: URL, timeouts: ModelConfig["timeouts"]): Pool {
  const seconds = { ...TIMEOUTS, ...timeouts };
  return new Pool(url.origin, {
    connections: 256,
    pipelining: 1,
    headersTimeout: seconds.firstByte * 1000,
    bodyTimeout: seconds.silence * 1000,
    connectTimeout: seconds.connect * 1000,
    allowH2: false,
  });
}

/**
 * Opens no connection yet. Proxies of the environment are not used: the model server is on this machine.
 * @param key of the model server
 */
export function createUpstream(
  model: Pick<ModelConfig, "kind" | "url" | "timeouts" | "allowed">,
  key?: string,
): Upstream {
  const url = new URL(model.url);
  const base = basePath(url);
  const pool = openPool(url, model.timeouts);
  const slotless = openPool(url, model.timeouts);
  const server = modelServer(model.kind);

  const askModels = async (): Promise<ModelState> => {
    const checkedAt = new Date().toISOString();
    try {
      const path = base + server.listPath;
      const signal = AbortSignal.timeout(LOOK_MS);
      const answer = await pool.request({ method: "GET", path, headers: keyHeader(key), signal });
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        if (answer.statusCode === 401) {
          const { message: reason } = keyRefused(key, "");
          return { reachable: false, keyRefused: true, reason, checkedAt };
        }
        return { reachable: false, reason: `${path} answers ${answer.statusCode}`, checkedAt };
      }
      const models = server.readModels(await answer.body.json()).map(({ name }) => name);
      return { reachable: true, models, checkedAt };
    } catch (cause) {
      return { reachable: false, reason: cause instanceof Error ? cause.message : String(cause), checkedAt };
    }
  };
  let found: { state: Promise<ModelState>; at: number } | undefined;
  const look = () => {
    found = { state: askModels(), at: performance.now() };
    return found.state;
  };
  const breaker = createBreaker({
    // One that refuses the key is there: its callers are told so, not that it is down.
    probe: async () => {
      const state = await look();
      return state.reachable || state.keyRefused === true;
    },
  });
  const answered: SendOptions = { outcome: breaker, onKeyRefused: (refusal) => refusal.error(key) };

  return {
    breaker,
    refuseRemote: createRefuseRemote(model, slotless, key),
    forward(call, to) {
      try {
        breaker.check();
      } catch (cause) {
        return Promise.reject(cause as RelayError);
      }
      const keyed = key === undefined ? call : { ...call, headers: { ...call.headers, ...keyHeader(key) } };
      return send(call.slotless === true ? slotless : pool, base, keyed, to, answered);
    },
    look() {
      return found === undefined || performance.now() - found.at > LOOK_AGAIN_MS ? look() : found.state;
    },
    async close() {
      breaker.stop();
      await Promise.all([pool.destroy(), slotless.destroy()]);
    },
  };
}

/** What an answer means beside what is passed on. */
interface SendOptions {
  /** Learns whether the server is reachable. */
  readonly outcome: Pick<Breaker, "succeeded" | "failed">;
  /** Makes the error that the call fails with for an answer with status 401. */
  readonly onKeyRefused: (refusal: KeyRefusal) => RelayError;
}

/** Sends a call through a pool; see `Upstream.forward`. */
export function send(pool: Pool, base: string, call: UpstreamCall, to: Sink, options?: SendOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const { method, target, headers, body } = call;
    pool.dispatch({ method, path: base + target, headers, body }, new CallHandler(call, to, options, resolve, reject));
  });
}

const disconnected = () => new ClientDisconnected("the client disconnected before the answer's end");

/**
 * Handles the events of one call. undici's `stream` would report a broken answer only after it has destroyed the sink, when
 * it cannot be distinguished from a client that disconnected.
 */
class CallHandler implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal;
  readonly #to: Sink;
  readonly #options: SendOptions | undefined;
  readonly #resolve: () => void;
  readonly #reject: (cause: Error) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #begun = false;
  #keyRefusal: KeyRefusal | undefined;
  readonly #abort = () => this.#controller?.abort(disconnected());

  constructor(
    { signal }: UpstreamCall,
    to: Sink,
    options: SendOptions | undefined,
    resolve: () => void,
    reject: (cause: Error) => void,
  ) {
    this.#signal = signal;
    this.#to = to;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) this.#abort();
    else this.#signal.addEventListener("abort", this.#abort, { once: true });
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return; // 1xx
    this.#begun = true;
    this.#options?.outcome.succeeded();
    if (status === 401 && this.#options !== undefined) this.#keyRefusal = new KeyRefusal();
    else this.#to.head(status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#keyRefusal !== undefined) {
      this.#keyRefusal.write(chunk);
      return;
    }
    if (this.#to.write(chunk)) return;
    controller.pause();
    this.#to.onceDrained(() => controller.resume());
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener("abort", this.#abort);
    if (this.#keyRefusal !== undefined && this.#options !== undefined) {
      this.#reject(this.#options.onKeyRefused(this.#keyRefusal));
      return;
    }
    this.#to.end();
    this.#resolve();
  }

  onResponseError(_controller: Dispatcher.DispatchController, cause: Error): void {
    this.#signal.removeEventListener("abort", this.#abort);
    if (this.#signal.aborted) {
      this.#reject(disconnected());
      return;
    }
    if (!this.#begun) this.#options?.outcome.failed();
    this.#reject(failure(cause, this.#begun));
  }
}

/** The error for a failed call to the model server. @param begun whether its answer had begun */
export function failure(cause: Error, begun: boolean): RelayError {
  // Several addresses tried ("localhost") give an AggregateError without a message; its code is that of the first.
  const code = "code" in cause ? String(cause.code) : "";
  const detail = cause.message || code;
  const refused = /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(code);
  if (refused && !begun) {
    return new RelayError("model_unreachable", "The model server on the Mac does not answer.", {
      headers: { "Retry-After": "5" },
      detail,
      cause,
    });
  }
  if (code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
    return new RelayError("model_timeout", "The model server on the Mac was silent for too long.", { detail, cause });
  }
  return new RelayError("model_broke_off", "The model server on the Mac broke off the request.", { detail, cause });
}
