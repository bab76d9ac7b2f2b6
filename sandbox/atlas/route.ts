/** The shape of a route of the emulated Atlas API. */
import type { Effects } from "./effects.ts";
import type { AtlasState } from "./state.ts";

/** Emulated delays; 0 means none. */
export interface AtlasDelays {
  /** From the response until a database user can sign in. */
  userMs: number;
  /** From the response until an access-list entry takes effect. */
  accessMs: number;
  /** Number of reads during which a cluster stays CREATING, UPDATING or DELETING. */
  clusterPolls: number;
}

/** The emulated project, as passed to handlers. */
export interface Project {
  id: string;
  clusterName: string;
  /** Connection string of all clusters, without user and password. */
  uri: string;
  delays: AtlasDelays;
  conditions: { clusterPaused: boolean };
  state: AtlasState;
  effects: Effects;
  /** Must be called after a change of `state`. */
  changed(): void;
}

/** An authenticated call with a known API version. */
export interface Call {
  project: Project;
  /** Variable parts of the path, decoded. */
  params: string[];
  query: URLSearchParams;
  body: unknown;
}

/** A handler's answer; no body with 204. Throws `AtlasError` to refuse. */
export interface Answer {
  status?: number;
  body?: unknown;
}

/** One route; `path` is matched below `/api/atlas/v2/groups/{projectId}`, `*` is a variable part. */
export interface Route {
  method: "GET" | "POST" | "PATCH" | "DELETE";
  path: string;
  handle(call: Call): Answer | Promise<Answer>;
}

/** Cuts a list by `pageNum` and `itemsPerPage`. */
export function page(items: unknown[], query: URLSearchParams): Answer {
  const perPage = Math.min(Math.max(Number(query.get("itemsPerPage") ?? 100) || 100, 1), 500);
  const number = Math.max(Number(query.get("pageNum") ?? 1) || 1, 1);
  return {
    body: { links: [], results: items.slice((number - 1) * perPage, number * perPage), totalCount: items.length },
  };
}
