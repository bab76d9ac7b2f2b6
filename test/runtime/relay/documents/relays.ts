/** Relays with documents, on each store, and calls to them. */
import { createLocalJWKSet } from "jose";
import { onTestFinished } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { startRelay } from "../../../../runtime/relay/server.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { asServer, CLIENT_ID, jwks, temporaryFolder, testConfig, token } from "../harness.ts";
import type { TestMongo } from "./stores.ts";

export const OTHER_ID = "fedcba9876543210fedcba9876543210.access";
/** A server that may use only the companies A and B. */
export const asOther = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };

export interface DocumentsRelay {
  readonly url: string;
  readonly admin: string;
  readonly dataDir: string;
  readonly lines: Record<string, unknown>[];
  close(): Promise<void>;
}

export interface Options {
  readonly documents?: Partial<RelayConfig["documents"]>;
  readonly mongo?: Pick<TestMongo, "uri" | "database" | "collection">;
  readonly now?: () => number;
  readonly dataDir?: string;
  readonly changes?: Partial<RelayConfig>;
}

/** On SQLite, or on `mongo`. Closed at the end of the test. */
export async function startDocumentsRelay(modelUrl: string, options: Options = {}): Promise<DocumentsRelay> {
  const { mongo, now, documents } = options;
  const dataDir = options.dataDir ?? (await temporaryFolder());
  const place = mongo && { database: mongo.database, collection: mongo.collection };
  const config = testConfig(modelUrl, dataDir, {
    callers: [
      { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true },
      { name: "other", clientId: OTHER_ID, companies: ["A", "B"], weight: 1, enabled: true },
    ],
    documents: { store: mongo ? "atlas" : "embedded", ttlDays: 30, ...place, ...documents },
    ...options.changes,
  });
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const secrets = mongo ? { mongodbUri: mongo.uri } : {};
  const relay = await startRelay(config, secrets, { log, keys: createLocalJWKSet(jwks), now });
  onTestFinished(() => relay.close());
  return {
    url: `http://127.0.0.1:${relay.port}`,
    admin: `http://127.0.0.1:${relay.adminPort}`,
    dataDir,
    lines,
    close: () => relay.close(),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // Answers of a test's own relay: each test says what it expects of them.
  readonly body: Record<string, unknown> & {
    error?: { code: string; message: string };
    data?: Record<string, unknown>[];
  };
}

/** Calls the relay as the server "backend", or as `headers` say. */
export async function call(
  relay: Pick<DocumentsRelay, "url">,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(relay.url + path, {
    method,
    body: body === undefined ? undefined : JSON.stringify(body),
    headers: { ...asServer, "Content-Type": "application/json", ...headers },
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === "" ? {} : (JSON.parse(text) as Answer["body"]),
  };
}

/** Path and query of a document. */
export function at(company: string, title: string, more: Record<string, string> = {}): string {
  return `/v1/documents?${new URLSearchParams({ company, title, ...more }).toString()}`;
}

/** The vector in a piece of `data`. */
export function floats(base64: unknown): number[] {
  const bytes = Buffer.from(String(base64), "base64");
  return [...new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))];
}
