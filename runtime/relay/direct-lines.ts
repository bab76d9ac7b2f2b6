/** The relay's listeners for direct lines: one per line, with its own sign-in; everything after that is the public path. */
import { join } from "node:path";
import { Counter, Gauge, type Registry } from "prom-client";
import type { RelayConfig } from "../config.ts";
import { directLog } from "../direct-config.ts";
import { type LineState, readLineState } from "../direct-log.ts";
import type { CheckAccess } from "./access/access.ts";
import { createDirectAccess, type DirectOptions } from "./access/direct.ts";
import type { Handler, Listener, ListenerBounds } from "./http/listener.ts";

/** Connections of one line: the requests of one caller. */
const CONNECTIONS = 1024;

/** A line as `/status` shows it. */
export interface LineStatus extends LineState {
  readonly server: string;
  readonly port: number;
}

type Bind = (name: string, port: number, handler: Handler, bounds: ListenerBounds) => Promise<Listener>;

/** Binds the listener of every configured line. @returns them in the order of the config. Rejects if one cannot be bound */
export async function bindLines(
  { direct }: Pick<RelayConfig, "direct">,
  handlerOf: (server: string) => Handler,
  bounds: ListenerBounds,
  bind: Bind,
  onBound: (listener: Listener) => void,
): Promise<void> {
  for (const { server, port } of direct?.lines ?? []) {
    const listener = await bind(`direct ${server}`, port, handlerOf(server), { ...bounds, connections: CONNECTIONS });
    onBound(listener);
  }
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
