/** The relay's listeners for direct lines: one per line, with its own sign-in; everything after that is the public path. */
import { join } from "node:path";
import { Counter, Gauge, type Registry } from "prom-client";
import type { RelayConfig } from "../config.ts";
import { directLog } from "../direct-config.ts";
import { type LineState, type LineStatus, readLineState } from "../direct-log.ts";
import type { CheckAccess } from "./access/access.ts";
import { createDirectAccess, type DirectOptions } from "./access/direct.ts";
import { type Handler, type Listener, type ListenerBounds, listen } from "./http/listener.ts";
import type { Log } from "./telemetry/log.ts";

/** Connections of one line: the requests of one caller. */
const CONNECTIONS = 1024;

/** The listeners of all lines. */
export interface LineListeners {
  /** Bound ports by server. */
  readonly ports: ReadonlyMap<string, number>;
  /**
   * Binds them. With `inBackground` it does not wait for a port that is taken (by the relay that this one replaces, or by
   * another program) but retries until it is free: the public listener must not depend on it.
   * @param handlerOf handler by server. Rejects, without `inBackground`, if a port cannot be bound
   */
  bind(handlerOf: (server: string) => Handler, bounds: ListenerBounds, inBackground: boolean): Promise<void>;
  /** Releases the ports; running requests go on. */
  stopListening(): void;
  /** As `Listener.close`. */
  close(): Promise<void>;
}

const RETRY_MS = 20;
/** Retries between two log lines. */
const LOG_EVERY = 1500;

export function bindLines({ direct }: Pick<RelayConfig, "direct">, log: Log): LineListeners {
  const listeners: Listener[] = [];
  const ports = new Map<string, number>();
  let isReleased = false;
  const bindOne = async (server: string, port: number, handler: Handler, bounds: ListenerBounds): Promise<void> => {
    const listener = await listen(`direct ${server}`, port, handler, { ...bounds, connections: CONNECTIONS });
    listeners.push(listener);
    ports.set(server, listener.port);
    if (isReleased) listener.stopListening();
  };
  const retry = async (server: string, port: number, handler: Handler, bounds: ListenerBounds): Promise<void> => {
    for (let tries = 0; !isReleased; tries++) {
      try {
        return await bindOne(server, port, handler, bounds);
      } catch (cause) {
        if (tries % LOG_EVERY === 0) log.warn({ server, port }, `waiting: ${(cause as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
      }
    }
  };
  return {
    ports,
    async bind(handlerOf, bounds, inBackground) {
      for (const { server, port } of direct?.lines ?? []) {
        if (inBackground) void retry(server, port, handlerOf(server), bounds);
        else await bindOne(server, port, handlerOf(server), bounds);
      }
    },
    stopListening() {
      isReleased = true;
      for (const listener of listeners) listener.stopListening();
    },
    async close() {
      isReleased = true;
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}

/** Sign-in and state of the lines. */
export interface DirectLines {
  /** The check of a line's listener. */
  access(server: string): CheckAccess;
  /** States by the logs of `ssh`; empty without lines. */
  status(): Promise<LineStatus[]>;
}

/** @param config is read at each request, so that a reload of callers and credentials counts at once */
export function createDirectLines(
  config: Pick<RelayConfig, "callers" | "direct" | "directCredentials" | "logDir">,
  registry: Registry,
  options: DirectOptions = {},
): DirectLines {
  const lines = config.direct?.lines ?? [];
  const status = () =>
    Promise.all(
      lines.map(async ({ server, port }) => {
        const state: LineState =
          config.logDir === undefined
            ? { connected: false, reason: "there is no log folder" }
            : await readLineState(join(config.logDir, directLog(server)));
        return { server, port, ...state };
      }),
    );
  if (lines.length === 0) return { access: (server) => createDirectAccess(server, config, options), status };
  const refused = new Counter({
    name: "slm_direct_refused_total",
    help: "Sign-ins that were refused on a direct line.",
    labelNames: ["server", "code"] as const,
    registers: [registry],
  });
  new Gauge({
    name: "slm_direct_connected",
    help: "1 while the line's SSH connection is up.",
    labelNames: ["server"] as const,
    registers: [registry],
    async collect() {
      for (const { server, connected } of await status()) this.set({ server }, connected ? 1 : 0);
    },
  });
  const access = new Map(
    lines.map(({ server }) => [
      server,
      createDirectAccess(server, config, {
        onRefused: (name, code) => refused.inc({ server: name, code }),
        ...options,
      }),
    ]),
  );
  return { access: (server) => access.get(server)!, status };
}
