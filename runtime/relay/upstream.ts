/** The local model server: passes a request on and streams its answer back as it comes. */
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { Pool } from "undici";
import { z } from "zod";
import type { ModelConfig } from "../config.ts";
import { CallerLeft } from "./body.ts";
import { type CollectedAnswer, collect } from "./collect.ts";
import { RelayError } from "./errors.ts";
import { headersFromModel } from "./headers.ts";

/** A request as the model server gets it. */
export interface UpstreamCall {
  readonly method: string;
  /** Path and query as the caller sent them. */
  readonly target: string;
  readonly headers: Record<string, string>;
  /** The bytes the caller sent; null without a body. */
  readonly body: Buffer | null;
  /** Fires when the caller has left: the connection to the model server is closed at once. */
  readonly signal: AbortSignal;
  /** Called as soon as the answer's headers are there. */
  readonly onHead: () => void;
}

/** What a look at the model server found. */
export type ModelState =
  | { readonly reachable: true; readonly models: readonly string[]; readonly checkedAt: string }
  | { readonly reachable: false; readonly reason: string; readonly checkedAt: string };

export interface Upstream {
  /**
   * Sends the call and writes the answer into `res`, status and body as they come, byte for byte, with back-pressure and
   * without a time limit. Nothing is retried. Resolves at the answer's end. Rejects with `model_unreachable`,
   * `model_broke_off`, or CallerLeft; if the answer had begun, the caller of `forward` must destroy `res`, so that a cut
   * answer never looks whole.
   */
  forward(call: UpstreamCall, res: ServerResponse): Promise<void>;
  /**
   * Sends the call and gives the answer whole, whatever its status. Nothing is retried. Rejects with `model_unreachable`,
   * `model_broke_off` (also for an answer over `maxBytes`), or CallerLeft. `onBytes` is told of each piece that arrives.
   */
  collect(
    call: Omit<UpstreamCall, "onHead">,
    maxBytes: number,
    onBytes: (bytes: number) => void,
  ): Promise<CollectedAnswer>;
  /** Asks for the model list; answers within 2 s, at most once in 5 s (else the last finding). Never rejects. */
  look(): Promise<ModelState>;
  /** Drops all connections. */
  close(): Promise<void>;
}

const LOOK_MS = 2000;
const LOOK_AGAIN_MS = 5000;

const openaiModels = z.object({ data: z.array(z.object({ id: z.string() })) });
const ollamaModels = z.object({ models: z.array(z.object({ name: z.string() })) });

/** Opens no connection yet. Proxies of the environment are not used: the model server is on this machine. */
export function createUpstream(model: Pick<ModelConfig, "kind" | "url">): Upstream {
  const url = new URL(model.url);
  const base = url.pathname.replace(/\/+$/, "");
  const pool = new Pool(url.origin, {
    connections: 256,
    pipelining: 1,
    headersTimeout: 0, // a generation may take minutes before its first byte
    bodyTimeout: 0,
    connectTimeout: 5000,
    allowH2: false,
  });

  const askModels = async (): Promise<ModelState> => {
    const checkedAt = new Date().toISOString();
    try {
      const path = `${base}${model.kind === "ollama" ? "/api/tags" : "/v1/models"}`;
      const answer = await pool.request({ method: "GET", path, signal: AbortSignal.timeout(LOOK_MS) });
      if (answer.statusCode !== 200) {
        await answer.body.dump();
        return { reachable: false, reason: `${path} answers ${answer.statusCode}`, checkedAt };
      }
      const list: unknown = await answer.body.json();
      const models =
        model.kind === "ollama"
          ? ollamaModels.parse(list).models.map(({ name }) => name)
          : openaiModels.parse(list).data.map(({ id }) => id);
      return { reachable: true, models, checkedAt };
    } catch (cause) {
      return { reachable: false, reason: cause instanceof Error ? cause.message : String(cause), checkedAt };
    }
  };
  let found: { state: Promise<ModelState>; at: number } | undefined;

  return {
    forward: (call, res) => new Promise((resolve, reject) => send(pool, base, call, res, resolve, reject)),
    collect: (call, maxBytes, onBytes) => collect(pool, base, call, maxBytes, onBytes),
    look() {
      if (found === undefined || performance.now() - found.at > LOOK_AGAIN_MS) {
        found = { state: askModels(), at: performance.now() };
      }
      return found.state;
    },
    close: () => pool.destroy(),
  };
}

// undici's `stream` would tell of a broken answer only after it has destroyed `res`, when it looks like a caller's leaving.
function send(
  pool: Pool,
  base: string,
  { method, target, headers, body, signal, onHead }: UpstreamCall,
  res: ServerResponse,
  resolve: () => void,
  reject: (cause: RelayError | CallerLeft) => void,
): void {
  let begun = false;
  const left = () => new CallerLeft("the caller left before the answer's end");
  pool.dispatch(
    { method, path: base + target, headers, body },
    {
      onRequestStart(controller) {
        const abort = () => controller.abort(left());
        if (signal.aborted) abort();
        else signal.addEventListener("abort", abort, { once: true });
      },
      onResponseStart(controller, status, answer) {
        if (status < 200) return; // 1xx
        begun = true;
        onHead();
        res.on("drain", () => controller.resume());
        sendHead(res, status, answer);
      },
      onResponseData(controller, chunk) {
        if (!res.write(chunk)) controller.pause();
      },
      onResponseEnd() {
        res.end();
        resolve();
      },
      onResponseError(_controller, cause) {
        reject(signal.aborted ? left() : failure(cause, begun));
      },
    },
  );
}

function sendHead(res: ServerResponse, status: number, headers: IncomingHttpHeaders): void {
  res.writeHead(status, headersFromModel(headers));
  // The headers leave now, not with the first token; corked, so that a body already there goes in the same packet. (Corking
  // `res` itself loses the body when it has a Content-Length and ends in the same tick: seen with Node 24.21.)
  const { socket } = res;
  socket?.cork();
  res.flushHeaders();
  process.nextTick(() => socket?.uncork());
}

/** What a failed call to the model server means to the caller; `begun`: the answer had begun. */
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
  return new RelayError("model_broke_off", "The model server on the Mac broke off the request.", { detail, cause });
}
