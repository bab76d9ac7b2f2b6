/** Real processes and sockets for the edge's tests; everything is ended by `stop`. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, request } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { connectorEnvironment } from "../../../sandbox/edge/connector-environment.ts";
import { type Edge, type EdgeOptions, startEdge } from "../../../sandbox/edge/edge.ts";
import { TestAccount } from "./account.ts";

/** The cloudflared to test with. @throws when there is none */
export function cloudflaredBinary(): string {
  const { CLOUDFLARED_BIN, PATH = "", SLM_NETWORK_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = SLM_NETWORK_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "slm-network");
  const candidates = [
    ...(CLOUDFLARED_BIN ? [CLOUDFLARED_BIN] : []),
    ...PATH.split(delimiter).map((folder) => join(folder, "cloudflared")),
    ...globSync(join(cache, "tools/cloudflared-*/cloudflared")),
  ];
  const found = candidates.find((candidate) => existsSync(candidate));
  if (!found) throw new Error("There is no cloudflared: run `npm run sandbox` once, it builds cloudflared");
  return found;
}

/** A running cloudflared. */
export interface Cloudflared {
  process: ChildProcess;
  /** Resolves once its log holds the text. */
  logged(text: string): Promise<void>;
  /** Resolves once it has ended. */
  ended: Promise<void>;
}

/** An answer, read to its end. */
export interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  rawHeaders: string[];
  body: Buffer;
}

/** What a request carries. */
export interface Ask {
  method?: string;
  host?: string;
  headers?: Record<string, string>;
  body?: Buffer | string;
}

/** The parts of one test file. */
export class Harness {
  readonly account = new TestAccount();
  readonly folder = mkdtempSync(join(tmpdir(), "slm-edge-"));
  readonly log: string[] = [];
  readonly #cleanup: (() => Promise<void> | void)[] = [];

  async edge(options: Partial<EdgeOptions> = {}): Promise<Edge> {
    const edge = await startEdge({
      view: this.account,
      dir: join(this.folder, "edge"),
      ports: { connector: 0, client: 0, proxy: 0 },
      log: (line) => this.log.push(line),
      ...options,
    });
    this.#cleanup.push(() => edge.close());
    return edge;
  }

  /** An origin on loopback. @returns its URL */
  async origin(listener: RequestListener): Promise<string> {
    const server = createServer({ keepAliveTimeout: 120_000 }, listener);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#cleanup.push(() => {
      server.closeAllConnections();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** The command line of the product's own launchd plist: nothing in it knows of the sandbox. */
  cloudflared(edge: Edge, token: string): Cloudflared {
    const tokenFile = join(this.folder, `token-${this.#cleanup.length}`);
    writeFileSync(tokenFile, token, { mode: 0o600 });
    const child = spawn(
      cloudflaredBinary(),
      ["tunnel", "--no-autoupdate", "--metrics", "127.0.0.1:0", "run", "--token-file", tokenFile],
      { env: { HOME: this.folder, ...connectorEnvironment(edge) }, stdio: ["ignore", "ignore", "pipe"] },
    );
    let text = "";
    const watchers = new Set<() => void>();
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      for (const watcher of watchers) watcher();
    });
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    this.#cleanup.push(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    });
    const logged = (wanted: string) =>
      new Promise<void>((resolve) => {
        const check = () => {
          if (!text.includes(wanted)) return;
          watchers.delete(check);
          resolve();
        };
        watchers.add(check);
        check();
      });
    return { process: child, logged, ended };
  }

  async stop(): Promise<void> {
    for (const step of this.#cleanup.splice(0).reverse()) await step();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Opens a request to the edge; the answer's stream comes back as soon as its headers do. */
export function open(edge: Edge, path: string, ask: Ask = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { host: ask.host ?? new URL(edge.url).host, ...ask.headers };
    const sent = request(`${edge.url}${path}`, { method: ask.method ?? "GET", headers, agent: false }, resolve);
    sent.on("error", reject);
    sent.end(ask.body);
  });
}

/** Reads an answer to its end. @throws when it is cut */
export async function read(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return {
    status: message.statusCode ?? 0,
    headers: message.headers,
    rawHeaders: message.rawHeaders,
    body: Buffer.concat(chunks),
  };
}

/** Sends a request to the edge and reads the whole answer. */
export const ask = async (edge: Edge, path: string, request: Ask = {}): Promise<Answer> =>
  read(await open(edge, path, request));
