/** What the relay's tests share: a model server, tokens of an Access of one's own, a relay on free ports, raw sockets. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT } from "jose";
import { onTestFinished } from "vitest";
import type { RelayConfig, RelaySecrets } from "../../../runtime/config.ts";
import { jobsSchema } from "../../../runtime/limits-config.ts";
import { USER_AGENT } from "../../../runtime/relay/model/remote-models.ts";
import type { RelayOptions } from "../../../runtime/relay/relay-options.ts";
import { type Relay, startRelay } from "../../../runtime/relay/server.ts";
import { createLog } from "../../../runtime/relay/telemetry/log.ts";

export const TEAM = "acme.cloudflareaccess.com";
export const SERVERS = "aud-servers";
export const PEOPLE = "aud-people";
export const CLIENT_ID = "0123456789abcdef0123456789abcdef.access";

const pair = await generateKeyPair("RS256", { extractable: true });
export const publicJwk = { ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "RS256", use: "sig" };
export const { publicKey, privateKey } = pair;
export const jwks = { keys: [publicJwk] };

/** A token as Access makes it for a server; `claims` and `kid` change what a test is about. */
export function token(claims: Record<string, unknown> = {}, kid = "k1", key = privateKey): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const all = { iss: `https://${TEAM}`, aud: [SERVERS], iat: now, exp: now + 3600, common_name: CLIENT_ID, sub: "" };
  return new SignJWT({ ...all, ...claims }).setProtectedHeader({ alg: "RS256", kid, typ: "JWT" }).sign(key);
}

export const serverToken = await token();
export const personToken = await token({ aud: [PEOPLE], email: "kim@example.com", common_name: undefined });
export const asServer = { "Cf-Access-Jwt-Assertion": serverToken };
export const asPerson = { "Cf-Access-Jwt-Assertion": personToken };

/** A folder that is removed when the test has ended. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "slm-relay-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Model {
  readonly url: string;
  readonly seen: Seen[];
  close(): Promise<void>;
}

/** A model server: records each request with its whole body, then lets `answer` answer (by default it echoes the body). */
export async function startModel(
  answer: (seen: Seen, res: ServerResponse, req: IncomingMessage) => void = ({ body, headers }, res) => {
    res.writeHead(200, { "Content-Type": headers["content-type"] ?? "text/plain" }).end(body);
  },
  port = 0,
): Promise<Model> {
  const seen: Seen[] = [];
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      // The relay's own look at the list of models.
      if (req.headers["user-agent"] === USER_AGENT) return void res.writeHead(404).end();
      const one = { method: req.method ?? "", url: req.url ?? "", headers: req.headers, body: Buffer.concat(chunks) };
      seen.push(one);
      answer(one, res, req);
    });
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    if (!server.listening) return;
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  };
  onTestFinished(close);
  return { url: `http://127.0.0.1:${portOf(server)}`, seen, close };
}

export function testConfig(modelUrl: string, dataDir: string, changes: Partial<RelayConfig> = {}): RelayConfig {
  return {
    port: 0,
    adminPort: 0,
    hostname: "slm.example.com",
    access: { teamDomain: TEAM, audiences: { servers: SERVERS, people: PEOPLE } },
    callers: [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }],
    model: { kind: "ollama", url: modelUrl, embeddingModel: "embed" },
    limits: { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 8, whenBusy: "queue" },
    documents: { store: "embedded", ttlDays: 30 },
    jobs: jobsSchema.parse({ minFreeMiB: 0 }),
    dataDir,
    graceSeconds: 0,
    ...changes,
  };
}

export interface TestRelay extends Relay {
  readonly url: string;
  readonly admin: string;
  readonly dataDir: string;
  /** The log's lines so far. */
  readonly lines: Record<string, unknown>[];
}

/** A relay on free ports, closed when the test has ended. */
export async function startTestRelay(
  modelUrl: string,
  changes: Partial<RelayConfig> = {},
  { secrets = {}, ...options }: Partial<RelayOptions> & { secrets?: RelaySecrets } = {},
): Promise<TestRelay> {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const config = testConfig(modelUrl, await temporaryFolder(), changes);
  const relay = await startRelay(config, secrets, { log, keys: createLocalJWKSet(jwks), ...options });
  onTestFinished(() => relay.close());
  return {
    ...relay,
    dataDir: config.dataDir,
    lines,
    url: `http://127.0.0.1:${relay.port}`,
    admin: `http://127.0.0.1:${relay.adminPort}`,
  };
}

/** POSTs JSON as the server "backend". */
export function post(relay: TestRelay, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(relay.url + path, {
    method: "POST",
    body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    ...init,
    headers: { ...asServer, "Content-Type": "application/json", ...(init.headers as Record<string, string>) },
  });
}

/** The code of an error answer. */
export async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { error: { code: string } | string; code?: string };
  return typeof body.error === "string" ? (body.code ?? "") : body.error.code;
}

/**
 * Sends text (in UTF-8) or bytes over a socket and gives all that comes until the other side closes (or `until` matches).
 * @param leaveAfterMs closes the connection after so long
 */
export async function raw(port: number, text: string | Buffer, until?: RegExp, leaveAfterMs?: number): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  if (leaveAfterMs !== undefined) setTimeout(() => socket.destroy(), leaveAfterMs);
  socket.setEncoding("latin1");
  let got = "";
  socket.write(text);
  try {
    for await (const chunk of socket) {
      got += chunk as string;
      if (until?.test(got)) break;
    }
  } catch (cause) {
    if (leaveAfterMs === undefined) throw cause;
  }
  socket.destroy();
  return got;
}

/** A raw GET of a path exactly as written, with a server's or a person's token. */
export async function rawGet(port: number, path: string, auth: string = serverToken, method = "GET") {
  const answer = await raw(
    port,
    `${method} ${path} HTTP/1.1\r\nHost: slm.example.com\r\nCf-Access-Jwt-Assertion: ${auth}\r\nConnection: close\r\n\r\n`,
  );
  const status = Number(answer.split(" ")[1]);
  return { status, answer, code: /"code":"(\w+)"/.exec(answer)?.[1] };
}
