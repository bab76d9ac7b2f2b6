/** The sandbox's model server: it plays Ollama, answers deterministically, and takes real time in real slots. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Log } from "../log.ts";
import { listenOn } from "../machine/ports.ts";
import { anthropicError } from "./anthropic.ts";
import { type Exchange, ModelError, NoRoute, openExchange, type RequestRecord } from "./exchange.ts";
import { llamaError, serveLlama } from "./llama.ts";
import { Models } from "./models.ts";
import { serveOllama } from "./ollama.ts";
import { openaiError, serveOpenai } from "./openai.ts";
import { PromptCache } from "./prompt-cache.ts";
import { Slots } from "./slots.ts";

/** How the model server is started. */
export interface ModelServerOptions {
  /** The server that it emulates. @default "ollama" */
  plays?: "ollama" | "llama-server";
  /** On 127.0.0.1; 0 picks a free one. */
  port: number;
  log: Log;
  /** Requests that compute at once; others wait in order, without bound. @default 4 */
  slots?: number;
  /** Speed of each slot. @default 60 */
  tokensPerSecond?: number;
  /** Time to the first token, in ms. @default 40 */
  firstTokenMs?: number;
  /** Prompt tokens that each slot computes per second. @default a prompt takes no time */
  promptTokensPerSecond?: number;
  /** Prompts that no slot holds any more are kept, as llama-server does. @default false */
  promptPool?: boolean;
  /** @default 1024 */
  embeddingDimensions?: number;
  /** Wants this key on every path but /health, as llama-server's `--api-key`. @default none */
  apiKey?: string | undefined;
}

/** A running model server. */
export interface ModelServer {
  url: string;
  port: number;
  /** Has another number of slots from now on. */
  resize(slots: number): void;
  /** Cuts what still runs and frees the port. */
  close(): Promise<void>;
}

/** What `GET /sandbox/requests` answers. */
export interface ModelServerRequests {
  active: number;
  waiting: number;
  finished: number;
  cancelled: number;
  /** Texts embedded since the start. */
  embeddedInputs: number;
  /** The last 100 requests that compute or change something, oldest first. */
  last: RequestRecord[];
}

const KEPT = 100;

async function route(exchange: Exchange): Promise<void> {
  if (exchange.path.startsWith("/v1/")) return serveOpenai(exchange);
  if (exchange.path.startsWith("/api/")) return serveOllama(exchange);
  if (exchange.path !== "/") throw new NoRoute();
  if (!["GET", "HEAD"].includes(exchange.method)) throw new NoRoute("GET, HEAD");
  exchange.text(200, "Ollama is running", { "content-type": "text/plain; charset=utf-8" });
}

/** Tells a refusal as Ollama does: what its OpenAI middleware did not find itself comes as JSON without a charset. */
function tell(exchange: Exchange, error: ModelError | NoRoute): void {
  if (error instanceof NoRoute) {
    exchange.text(error.status, error.message, error.allow === undefined ? {} : { allow: error.allow });
  } else if (exchange.path === "/v1/messages") {
    exchange.json(error.status, anthropicError(error));
  } else if (exchange.path.startsWith("/v1/")) {
    exchange.json(error.status, openaiError(error), error.isLate ? "application/json" : undefined);
  } else exchange.json(error.status, { error: error.message });
}

/** Starts the server on 127.0.0.1. Rejects when the port is taken. */
export async function startModelServer(options: ModelServerOptions): Promise<ModelServer> {
  const { port, log, tokensPerSecond = 60, firstTokenMs = 40, embeddingDimensions = 1024, plays = "ollama" } = options;
  const slots = new Slots(options.slots ?? 4);
  const models = new Models();
  const last: RequestRecord[] = [];
  let [finished, cancelled, embeddedInputs] = [0, 0, 0];
  const context = {
    models,
    slots,
    prompts: new PromptCache(options.slots ?? 4, options.promptPool ?? false),
    speed: { tokensPerSecond, firstTokenMs, promptTokensPerSecond: options.promptTokensPerSecond },
    embeddingDimensions,
    plays,
    countEmbedded: (inputs: number): void => {
      embeddedInputs += inputs;
    },
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const exchange = openExchange(context, request, response);
    const { record, signal, path } = exchange;
    if (plays === "llama-server") response.setHeader("server", "llama.cpp");
    const { apiKey } = options;
    if (apiKey !== undefined && path !== "/health" && request.headers.authorization !== `Bearer ${apiKey}`) {
      return exchange.json(401, llamaError(new ModelError(401, "Invalid API Key")));
    }
    if (path === "/sandbox/requests") {
      const state: ModelServerRequests = {
        active: slots.active,
        waiting: slots.waiting,
        finished,
        cancelled,
        embeddedInputs,
        last,
      };
      return exchange.json(200, state);
    }
    if (exchange.method !== "GET" && exchange.method !== "HEAD") {
      last.push(record);
      if (last.length > KEPT) last.shift();
    }
    // Noticed when the client goes, not when the work next looks.
    signal.addEventListener("abort", () => {
      if (record.state === "finished" || record.state === "failed") return;
      record.state = "cancelled";
      cancelled += 1;
    });
    try {
      await (plays === "ollama" ? route(exchange) : serveLlama(exchange));
      if (signal.aborted) return;
      record.state = "finished";
      finished += 1;
    } catch (error) {
      if (signal.aborted) return;
      record.state = "failed";
      const known =
        error instanceof ModelError || error instanceof NoRoute ? error : new ModelError(500, String(error));
      if (known.status === 500) log(`The sandbox's model server failed on ${path}: ${String(error)}`);
      if (response.headersSent) response.destroy();
      else if (plays === "llama-server" && known instanceof ModelError) exchange.json(known.status, llamaError(known));
      else tell(exchange, known);
    }
  };

  const server = createServer((request, response) => void handle(request, response));
  const boundPort = await listenOn(server, port, "the sandbox's model server");
  return {
    url: `http://127.0.0.1:${boundPort}`,
    port: boundPort,
    resize: (size) => slots.resize(size),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
