/** The relay's listeners, bound before anything else is opened: the process that has the public port owns the files in `dataDir`. */
import type { RelayConfig } from "../config.ts";
import { onlyLocal } from "./admin.ts";
import { bindLines } from "./direct-lines.ts";
import type { RelayError } from "./errors.ts";
import { type Handler, type Listener, listen, listenWhenFree, sendText } from "./http/listener.ts";
import { MAX_ADMIN_CONNECTIONS, MAX_PUBLIC_CONNECTIONS } from "./memory/holdings.ts";
import type { Log } from "./telemetry/log.ts";

/** What answers, once the relay is assembled. */
export interface Handlers {
  readonly public: Handler;
  readonly admin: Handler;
  /** The handler of a server's direct line. */
  readonly line: (server: string) => Handler;
}

/** Handlers for the time before the relay is assembled: public requests wait, the admin listener reports "not ready". */
class DeferredHandlers {
  #handlers: Handlers | undefined;
  readonly #opened = Promise.withResolvers<Handlers>();

  readonly public: Handler = (...call) => {
    if (this.#handlers) this.#handlers.public(...call);
    else this.#later(call, (handlers) => handlers.public);
  };
  readonly admin: Handler = (req, res, expectsContinue) => {
    if (this.#handlers) this.#handlers.admin(req, res, expectsContinue);
    else if (req.url === "/healthz") sendText(res, 200, "text/plain", "ok\n");
    else sendText(res, 503, "text/plain", "not ready\n");
  };

  line(server: string): Handler {
    return (...call) => {
      if (this.#handlers) this.#handlers.line(server)(...call);
      else this.#later(call, (handlers) => handlers.line(server));
    };
  }

  /** A client that has disconnected by then gets no exchange: its "close" was emitted before anybody listened. */
  #later(call: Parameters<Handler>, choose: (handlers: Handlers) => Handler): void {
    const [, res] = call;
    void this.#opened.promise.then((handlers) => {
      if (!res.closed && !res.destroyed) choose(handlers)(...call);
    });
  }

  open(handlers: Handlers): void {
    this.#handlers = handlers;
    this.#opened.resolve(handlers);
  }
}

export interface ListenerTimes {
  /** See `ListenerBounds`. */
  readonly stallMs: number;
  readonly headersMs: number;
}

export interface Listeners {
  readonly port: number;
  readonly adminPort: number;
  /** Ports of the direct lines that are bound, by server. */
  readonly linePorts: ReadonlyMap<string, number>;
  /** Answers with these from now on, also what came before. */
  open(handlers: Handlers): void;
  /** Releases all ports; running requests go on. */
  stopListening(): void;
  /** Cuts what is still open. Resolves when nothing is left. */
  close(): Promise<void>;
}

/**
 * Binds all of them: the admin's first, which reports that the relay is alive while it waits.
 * @param takeOver waits for a public port that is taken. Rejects, with nothing bound, when a port is not available
 */
export async function bindListeners(
  config: Pick<RelayConfig, "port" | "adminPort" | "direct">,
  { stallMs, headersMs }: ListenerTimes,
  takeOver: boolean,
  log: Log,
): Promise<Listeners> {
  const listeners: Listener[] = [];
  const deferred = new DeferredHandlers();
  const lines = bindLines(config, log);
  const close = async () => {
    await Promise.all([lines, ...listeners].map((listener) => listener.close()));
  };
  try {
    const ofAdmin = { stallMs, connections: MAX_ADMIN_CONNECTIONS };
    listeners.push(await listen("admin", config.adminPort, onlyLocal(deferred.admin), ofAdmin));
    const bind = takeOver ? listenWhenFree : listen;
    const onMalformed = (id: string, { status, code }: RelayError) => log.info({ id, status, code }, "request");
    const ofPublic = { stallMs, connections: MAX_PUBLIC_CONNECTIONS, headersMs, onMalformed };
    listeners.unshift(await bind("public", config.port, deferred.public, ofPublic, log));
    await lines.bind((server) => deferred.line(server), { stallMs, headersMs }, takeOver);
  } catch (cause) {
    await close();
    throw cause;
  }
  const [{ port }, { port: adminPort }] = listeners as [Listener, Listener];
  return {
    port,
    adminPort,
    linePorts: lines.ports,
    open: (handlers) => deferred.open(handlers),
    stopListening() {
      for (const listener of [lines, ...listeners]) listener.stopListening();
    },
    close,
  };
}
