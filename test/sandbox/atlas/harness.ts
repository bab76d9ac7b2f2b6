/** The emulated Atlas with a recording MongoDB, and a small digest client. */
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AtlasOptions, startAtlasApi } from "../../../sandbox/atlas/api.ts";
import type { MongoAdmin } from "../../../sandbox/mongo/mongo-admin.ts";

export const projectId = "5f1f1f1f1f1f1f1f1f1f1f1f";
const md5 = (text: string) => createHash("md5").update(text).digest("hex");

export interface RecordingMongo extends MongoAdmin {
  users: Map<string, { password: string; roles: { role: string; db: string }[] }>;
  accessList: string[] | undefined;
  /** Set to have the next `putUser` fail. */
  failWith: string | undefined;
  /** Resolves when the next change has arrived. */
  nextChange(): Promise<void>;
}

export function recordingMongo(): RecordingMongo {
  let waiting: (() => void)[] = [];
  const arrived = () => {
    for (const one of waiting) one();
    waiting = [];
  };
  const mongo: RecordingMongo = {
    uri: "mongodb://127.0.0.1:27017",
    users: new Map(),
    accessList: undefined,
    failWith: undefined,
    nextChange: () => new Promise((resolve) => waiting.push(resolve)),
    putUser: async ({ username, password, roles }) => {
      if (mongo.failWith !== undefined) throw new Error(mongo.failWith);
      mongo.users.set(username, { password, roles });
      arrived();
    },
    removeUser: async (username) => {
      mongo.users.delete(username);
      arrived();
    },
    setAccessList: async (cidrBlocks) => {
      mongo.accessList = cidrBlocks;
      arrived();
    },
  };
  return mongo;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

interface CallOptions {
  accept?: string;
  publicKey?: string;
  privateKey?: string;
  /** Changes the digest's fields after they were computed. */
  spoil?: (fields: Record<string, string>) => void;
}

/** One request with the given headers. */
export async function send(url: string, method: string, path: string, body: unknown, headers: Record<string, string>) {
  const response = await fetch(new URL(path, url), {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(5000),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? {} : JSON.parse(text) } as Answer;
}

/** `Authorization` for a challenge, computed on its own from RFC 7616. */
export function authorization(
  challenge: string,
  method: string,
  path: string,
  options: CallOptions = {},
  nc = "00000001",
) {
  const nonce = /nonce="([^"]+)"/.exec(challenge)?.[1] ?? "";
  const realm = /realm="([^"]+)"/.exec(challenge)?.[1] ?? "";
  const username = options.publicKey ?? "public";
  const cnonce = randomBytes(8).toString("hex");
  const ha1 = md5(`${username}:${realm}:${options.privateKey ?? "private"}`);
  const response = md5(`${ha1}:${nonce}:${nc}:${cnonce}:auth:${md5(`${method}:${path}`)}`);
  const fields: Record<string, string> = { username, realm, nonce, uri: path, response, cnonce };
  options.spoil?.(fields);
  const quoted = Object.entries(fields).map(([name, value]) => `${name}="${value}"`);
  return `Digest ${quoted.join(", ")}, algorithm=MD5, qop=auth, nc=${nc}`;
}

export async function startHarness(options: Partial<AtlasOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), "slm-atlas-"));
  const statePath = join(dir, "atlas.json");
  const lines: string[] = [];
  const open = (mongo: RecordingMongo) =>
    startAtlasApi({
      port: 0,
      projectId,
      clusterName: "main",
      publicKey: "public",
      privateKey: "private",
      statePath,
      log: (line) => lines.push(line),
      ...options,
      mongo,
    });
  const mongo = recordingMongo();
  let api = await open(mongo);
  const harness = {
    mongo,
    lines,
    statePath,
    url: api.url,
    /** One call below the project, as an Atlas client makes it: without credentials first, then with. */
    call: async (method: string, path: string, body?: unknown, more: CallOptions = {}): Promise<Answer> => {
      const target = path.startsWith("/api/") ? path : `/api/atlas/v2/groups/${projectId}${path}`;
      const accept = more.accept ?? "application/vnd.atlas.2024-08-05+json";
      const first = await send(api.url, method, target, body, { accept });
      const challenge = first.headers.get("www-authenticate") ?? "";
      if (first.status !== 401 || challenge === "") throw new Error(`expected a challenge, got ${first.status}`);
      return send(api.url, method, target, body, {
        accept,
        authorization: authorization(challenge, method, target, more),
      });
    },
    /** Starts it again from the state file, before a MongoDB that knows nothing. */
    restart: async (): Promise<RecordingMongo> => {
      await api.close();
      const fresh = recordingMongo();
      api = await open(fresh);
      harness.url = api.url;
      return fresh;
    },
    close: async () => {
      await api.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return harness;
}

export type Harness = Awaited<ReturnType<typeof startHarness>>;
