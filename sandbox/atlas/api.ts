/**
 * The emulated Atlas Admin API over HTTP: digest authentication, API versions, routing. What a call does is in the route files.
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/
 */
import { type Faults, withFault } from "../http/faults.ts";
import { type JsonAnswer, type JsonRequest, startJsonServer } from "../http/json-server.ts";
import { openStateFile } from "../http/state-file.ts";
import type { Log } from "../log.ts";
import type { MongoAdmin } from "../mongo/mongo-admin.ts";
import { accessListRoutes } from "./access-list.ts";
import { clusterRoutes } from "./clusters.ts";
import { applyUsers, databaseUserRoutes } from "./database-users.ts";
import { DigestGuard } from "./digest.ts";
import { Effects } from "./effects.ts";
import { AtlasError, errorBody } from "./errors.ts";
import { type AtlasDelays, type Project, page, type Route } from "./route.ts";
import { type ServiceAccount, ServiceAccountGuard, tokenPath } from "./service-accounts.ts";
import { stateSchema } from "./state.ts";

const routes: Route[] = [...clusterRoutes, ...accessListRoutes, ...databaseUserRoutes];
const prefix = "/api/atlas/v2";

/** How to start. */
export interface AtlasOptions {
  /** 0 picks a free port. */
  port: number;
  /** 24 hex digits, as Atlas' project ids. */
  projectId: string;
  /** The existing cluster. */
  clusterName: string;
  publicKey: string;
  privateKey: string;
  /** A read-only API key, as used for previews (project role GROUP_READ_ONLY). */
  readOnlyKey?: { publicKey: string; privateKey: string };
  /** A service account of the project (role Project Owner). @default none */
  serviceAccount?: ServiceAccount;
  /** The MongoDB behind every cluster. */
  mongo: MongoAdmin;
  /** The source address of every caller. @default 203.0.113.7, a documentation address (RFC 5737) */
  publicAddress?: string;
  /** @default defaultConditions */
  conditions?: Partial<AtlasConditions>;
  /** State file, mode 0600. In memory only when absent. */
  statePath?: string;
  /** All 0 unless given. */
  delays?: Partial<AtlasDelays>;
  /** Failures to inject; paths below `/api/atlas/v2`. */
  faults?: Faults;
  log: Log;
}

/** Conditions outside of what was declared. Each can be changed at run time. */
export interface AtlasConditions {
  /** The existing cluster. */
  clusterPaused: boolean;
  /** False: the API key's own access list lacks the caller's address. */
  keyAddressAllowed: boolean;
}

/** Refuses an `Accept` header without an API version. At least one media type must carry one. */
function checkVersion(accept: string | undefined): void {
  const dates = [...(accept ?? "").matchAll(/application\/vnd\.atlas\.([^+;,\s]+)\+(?:json|csv|gzip)/g)].map(
    (one) => one[1],
  );
  if (dates.length === 0) {
    const detail = `Accept is "${accept ?? ""}": expected a version of the API such as application/vnd.atlas.2024-08-05+json.`;
    throw new AtlasError(406, "INVALID_ACCEPT_HEADER", detail);
  }
  for (const date of dates) {
    const isDate = /^\d{4}-\d{2}-\d{2}$/.test(date ?? "") && !Number.isNaN(Date.parse(date ?? ""));
    if (date === "preview" || date === "upcoming" || (isDate && Date.parse(date ?? "") <= Date.now())) continue;
    throw new AtlasError(
      400,
      "INVALID_VERSION_DATE",
      `Invalid version ${date}: expected a date in the past, e.g. 2024-08-05.`,
    );
  }
}

function parse(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new AtlasError(400, "MALFORMED_JSON", "Received JSON is malformed.");
  }
}

/** The variable parts of a matching path. An encoded slash stays inside its part. */
function matchPath(pattern: string, parts: string[]): string[] | undefined {
  const wanted = pattern.split("/").slice(1);
  if (wanted.length !== parts.length) return undefined;
  if (!wanted.every((part, index) => part === "*" || part === parts[index])) return undefined;
  try {
    return wanted.flatMap((part, index) => (part === "*" ? [decodeURIComponent(parts[index] ?? "")] : []));
  } catch {
    return undefined;
  }
}

/** Atlas' form of an error; RATE_LIMITED is its code for too many calls. */
const refusal = (status: number, message: string): unknown =>
  errorBody(status, status === 429 ? "RATE_LIMITED" : "UNEXPECTED_ERROR", message);

function groupWire(project: Project): Record<string, unknown> {
  const orgId = project.id.split("").reverse().join("");
  return { id: project.id, name: "sandbox", orgId, clusterCount: 1, created: "2026-01-01T00:00:00Z", links: [] };
}

async function call(project: Project, request: JsonRequest): Promise<JsonAnswer> {
  if (!request.path.startsWith(`${prefix}/groups`)) {
    throw new AtlasError(
      404,
      "RESOURCE_NOT_FOUND",
      `Cannot find resource ${request.path}: the sandbox has no such API.`,
    );
  }
  const [id, ...parts] = request.path.slice(`${prefix}/groups`.length).split("/").slice(1);
  if (id === undefined) return { status: 200, ...page([groupWire(project)], request.query) };
  if (id !== project.id) {
    throw new AtlasError(404, "GROUP_NOT_FOUND", `An invalid group ID ${id} was specified.`, [id]);
  }
  if (parts.length === 0 && request.method === "GET") return { status: 200, body: groupWire(project) };
  const matching = routes.flatMap((route) => {
    const params = matchPath(route.path, parts);
    return params === undefined ? [] : [{ route, params }];
  });
  const found = matching.find(({ route }) => route.method === request.method);
  if (found === undefined) {
    const known = matching.map(({ route }) => route.method).join(", ");
    if (known !== "")
      throw new AtlasError(405, "METHOD_NOT_ALLOWED", `${request.method} is not allowed here, only ${known}.`);
    throw new AtlasError(
      404,
      "RESOURCE_NOT_FOUND",
      `Cannot find resource ${request.path}: the sandbox has no such API.`,
    );
  }
  const { query } = request;
  const answer = await found.route.handle({ project, params: found.params, query, body: parse(request.text) });
  return { status: answer.status ?? 200, body: answer.body };
}

/**
 * Serves one Atlas project on 127.0.0.1. State from an earlier run is applied before this resolves.
 * @returns `url` is what the provider takes as `mongodbatlas:baseUrl`. `close` writes the state; delayed changes take
 * effect at the next start.
 * @throws when the port is taken, the state cannot be read, or MongoDB refuses a restored user
 */
export async function startAtlasApi(
  options: AtlasOptions,
): Promise<{ url: string; port: number; conditions: AtlasConditions; close(): Promise<void> }> {
  const { log, publicAddress = "203.0.113.7" } = options;
  if (!/^[0-9a-f]{24}$/.test(options.projectId)) {
    throw new Error(`projectId is "${options.projectId}", but Atlas' ids are 24 hex digits: give one of that form`);
  }
  const file = openStateFile(options.statePath, stateSchema, () => ({
    format: 1 as const,
    users: {},
    accessList: {},
    flexClusters: {},
  }));
  const effects = new Effects(options.mongo, log);
  const { readOnlyKey } = options;
  const guard = new DigestGuard([
    { username: options.publicKey, password: options.privateKey },
    ...(readOnlyKey ? [{ username: readOnlyKey.publicKey, password: readOnlyKey.privateKey }] : []),
  ]);
  const accounts = new ServiceAccountGuard(options.serviceAccount);
  const conditions: AtlasConditions = { clusterPaused: false, keyAddressAllowed: true, ...options.conditions };
  const project: Project = {
    id: options.projectId,
    clusterName: options.clusterName,
    uri: options.mongo.uri,
    conditions,
    delays: { userMs: 0, accessMs: 0, clusterPolls: 0, ...options.delays },
    state: file.value,
    effects,
    changed: file.changed,
  };
  await applyUsers({ ...project, delays: { ...project.delays, userMs: 0 } });
  await effects.accessList(Object.keys(project.state.accessList), 0);

  const answered = async (request: JsonRequest, username: string): Promise<JsonAnswer> => {
    try {
      if (!conditions.keyAddressAllowed) {
        const detail = `IP address ${publicAddress} is not allowed to access this resource.`;
        throw new AtlasError(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", detail, [publicAddress]);
      }
      checkVersion(request.headers.accept);
      if (username === readOnlyKey?.publicKey && request.method !== "GET") {
        const detail = "Current user is not authorized to perform this action.";
        throw new AtlasError(401, "USER_UNAUTHORIZED", detail);
      }
      return await call(project, request);
    } catch (error) {
      if (!(error instanceof AtlasError)) throw error;
      const body = errorBody(error.status, error.errorCode, error.message, error.parameters);
      return { status: error.status, body };
    }
  };
  const handle = async (request: JsonRequest): Promise<JsonAnswer> => {
    // An unversioned endpoint for MongoDB's own tools. It needs no authentication.
    if (request.method === "GET" && request.path === "/api/private/ipinfo") {
      return { status: 200, body: { currentIpv4Address: publicAddress } };
    }
    if (request.method === "POST" && request.path === tokenPath) {
      const issued = accounts.issue(request.headers.authorization, request.text);
      log(`atlas: POST ${tokenPath} → ${issued.status}`);
      return issued;
    }
    const checked =
      accounts.check(request.headers.authorization) ??
      guard.check(request.headers.authorization, request.method, request.target);
    if (typeof checked === "string") {
      return {
        status: 401,
        headers: { "www-authenticate": guard.challenge(checked === "stale") },
        body: errorBody(401, "UNAUTHORIZED", "You are not authorized for this resource."),
      };
    }
    // After the first, unauthenticated round of digest: every call makes one, and a fault must hit the call itself.
    const fault = options.faults?.take(request.method, request.path.slice(prefix.length));
    const answer = await withFault(fault, refusal, () => answered(request, checked.username));
    const status = typeof answer === "string" ? "no answer (fault)" : answer.status;
    if (request.method !== "GET" || typeof status === "string" || status >= 400) {
      log(`atlas: ${request.method} ${request.path} → ${status}`);
    }
    return answer;
  };
  const server = await startJsonServer({
    port: options.port,
    log: (message) => log(`atlas: ${message}`),
    handle,
    failure: (status, message) => errorBody(status, "UNEXPECTED_ERROR", message),
  });
  return {
    url: `http://127.0.0.1:${server.port}/`,
    port: server.port,
    conditions,
    close: async () => {
      await server.close();
      await effects.close();
      file.flush();
    },
  };
}
