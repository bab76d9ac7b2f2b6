/** Routing. Paths are matched exactly as received: nothing is decoded or normalised. */

import { type ModelServerKind, modelServer } from "../../model-servers.ts";
import { bodyChecksOf } from "../dialects/body-checks.ts";
import type { Dialect, ModelRoute } from "../dialects/dialect.ts";
import { RelayError } from "../errors.ts";

/** Destination of a request after the Access check. `name` is the path's pattern, for metrics and the log. */
export type Route =
  | { readonly kind: "status"; readonly name: string; readonly view: StatusView; readonly id: string }
  | { readonly kind: "metrics"; readonly name: "/metrics" }
  | { readonly kind: "job"; readonly name: string; readonly act: JobAct; readonly id: string }
  | { readonly kind: "openapi"; readonly name: "/openapi.json" }
  | { readonly kind: "jobs"; readonly name: "/v1/jobs" }
  | { readonly kind: "usage"; readonly name: "/v1/usage" }
  | { readonly kind: "documents"; readonly name: "/v1/documents" | "/v1/documents/search" }
  | ModelCall;

/** What is asked for below `/status`; `cancel`: cancels the job `id`. */
export type StatusView = "page" | "data" | "events" | "usage" | "script" | "style" | "cancel";

/** A route to the model server, with values computed once. */
export interface ModelCall extends ModelRoute {
  readonly dialect: Dialect;
  readonly modelKeys: readonly string[];
  /** Keys of the body's outermost members that are read. */
  readonly wanted: ReadonlySet<string>;
  /** Those of them that the body may have once only: servers differ in which one counts. */
  readonly once: ReadonlySet<string>;
}

/** Operation on a job; `response`: in the form of OpenAI's background responses. */
export type JobAct = "job" | "result" | "events" | "response" | "cancel_response";

export interface Router {
  /** Finds the route. Throws `not_found`, which lists the served paths, or `method_not_allowed` with `Allow`. */
  find(method: string, path: string): Route;
  /** The route of a path of jobs, for what the model server keeps under it. */
  storedResponse(name: string): ModelCall | undefined;
  /** The route of a POST to the model server; undefined for any other path. */
  modelCall(path: string): ModelCall | undefined;
  /** The API of the path, by its prefix where it is not served; the first dialect for the relay's own and other paths. */
  dialectOf(path: string): Dialect;
}

interface Row {
  readonly route: Route;
  /** The path itself, or its pattern. */
  readonly path: string | Pick<RegExp, "test">;
  readonly methods: readonly string[];
  /** Undefined: a path of the relay itself. */
  readonly dialect: Dialect | undefined;
}

const READ = ["GET", "HEAD"];

/**
 * @param dialects at least one; a path in several belongs to the first @param kind of the model server
 * @param servesMetrics whether `/metrics` is a path of the public listener @default false
 */
export function createRouter(dialects: readonly Dialect[], kind: ModelServerKind, servesMetrics = false): Router {
  const { api } = modelServer(kind);
  const metrics: Row = {
    route: { kind: "metrics", name: "/metrics" },
    path: "/metrics",
    methods: READ,
    dialect: undefined,
  };
  const rows = [...relayRows(), ...(servesMetrics ? [metrics] : []), ...dialects.flatMap(dialectRows)];
  const exact = new Map<string, Row>();
  for (const row of rows) if (typeof row.path === "string" && !exact.has(row.path)) exact.set(row.path, row);
  const patterns = rows.flatMap(({ path, ...row }) => (typeof path === "string" ? [] : [{ ...row, path }]));
  const rowOf = (path: string): Row | undefined =>
    exact.get(path) ?? patterns.find((candidate) => candidate.path.test(path));
  const stored = new Map(dialects.flatMap(storedResponses));
  const served = () =>
    rows
      .filter(
        ({ route, dialect }) =>
          route.kind !== "status" && route.kind !== "metrics" && (dialect === undefined || dialect.servedBy[api]),
      )
      .map(({ route, methods }) => `${methods.filter((method) => method !== "HEAD").join(", ")} ${route.name}`)
      .join("; ");
  return {
    storedResponse: (name) => stored.get(name),
    modelCall(path) {
      const route = rowOf(path)?.route;
      return route?.kind === "model" && route.method === "POST" ? route : undefined;
    },
    dialectOf: (path) =>
      rowOf(path)?.dialect ??
      dialects.find(({ prefix }) => prefix !== undefined && path.startsWith(prefix)) ??
      dialects[0]!,
    find(method, path) {
      const row = rowOf(path);
      if (row === undefined) {
        throw new RelayError("not_found", `This path is not served. Served are: ${served()}.`);
      }
      const { route, dialect, methods } = row;
      if (dialect !== undefined && !dialect.servedBy[api]) {
        throw new RelayError(
          "not_found",
          `${route.name} is a path of ${dialect.title}, and the model server behind this address is another one. Served are: ${served()}.`,
        );
      }
      if (!methods.includes(method)) {
        const allow = methods.join(", ");
        throw new RelayError("method_not_allowed", `${route.name} takes ${allow}, not ${method}.`, {
          headers: { Allow: allow },
        });
      }
      return "id" in route ? { ...route, id: idIn(row.path, path) } : route;
    },
  };
}

const idIn = (pattern: Row["path"], path: string): string =>
  pattern instanceof RegExp ? (pattern.exec(path)?.[1] ?? "") : "";

/** Responses that are no jobs are kept by the model server, if at all. */
function storedResponses(dialect: Dialect): [name: string, call: ModelCall][] {
  return dialect.routes.flatMap((route) => {
    if (route.kind !== "job" || route.act !== "response") return [];
    const { name } = route;
    const nothing = { modelKeys: [], wanted: new Set<string>(), once: new Set<string>() };
    return [
      [name, { kind: "model", name, method: "GET", listsModels: false, dialect, servers: "LM Studio", ...nothing }],
    ];
  });
}

/** A path with an id in it. */
const withId = (name: string): RegExp => new RegExp(`^${name.replace("{id}", "([\\w-]{1,80})")}$`);

function job(act: JobAct, name: string, methods: readonly string[], dialect: Dialect | undefined): Row {
  const path = withId(name);
  return { route: { kind: "job", name, act, id: "" }, path, methods, dialect };
}

/** Paths for people. */
const STATUS: readonly (readonly [name: string, view: StatusView, methods: readonly string[]])[] = [
  ["/status", "page", READ],
  ["/status/data.json", "data", READ],
  ["/status/events", "events", ["GET"]],
  ["/status/usage.json", "usage", READ],
  ["/status/app.js", "script", READ],
  ["/status/app.css", "style", READ],
  ["/status/jobs/{id}/cancel", "cancel", ["POST"]],
];

/** The paths of the relay itself. */
function relayRows(): Row[] {
  const row = (route: Route, methods: readonly string[]): Row => ({
    route,
    path: route.name,
    methods,
    dialect: undefined,
  });
  return [
    ...STATUS.map(
      ([name, view, methods]): Row => ({
        ...row({ kind: "status", name, view, id: "" }, methods),
        path: name.includes("{id}") ? withId(name) : name,
      }),
    ),
    row({ kind: "openapi", name: "/openapi.json" }, READ),
    row({ kind: "documents", name: "/v1/documents" }, [...READ, "PUT", "DELETE"]),
    row({ kind: "documents", name: "/v1/documents/search" }, ["POST"]),
    row({ kind: "jobs", name: "/v1/jobs" }, READ),
    row({ kind: "usage", name: "/v1/usage" }, READ),
    job("job", "/v1/jobs/{id}", [...READ, "DELETE"], undefined),
    job("result", "/v1/jobs/{id}/result", READ, undefined),
    job("events", "/v1/jobs/{id}/events", ["GET"], undefined),
  ];
}

function dialectRows(dialect: Dialect): Row[] {
  return dialect.routes.map((route) => {
    if (route.kind === "job") return job(route.act, route.name, route.methods, dialect);
    const modelKeys = route.modelKeys ?? ["model"];
    const checked = bodyChecksOf(dialect).map(({ member }) => member);
    const ofJobs = route.queue === undefined ? [] : ["metadata"];
    const wanted = new Set([...modelKeys, ...checked, "stream", ...ofJobs, ...(route.reads ?? [])]);
    const methods = route.method === "GET" ? READ : [route.method];
    return {
      route: { ...route, dialect, modelKeys, wanted, once: new Set([...modelKeys, ...checked]) },
      path: route.pattern ?? route.name,
      methods,
      dialect,
    };
  });
}

/** Splits a request target at the first `?`: the path as received, and the query with its `?` (or ""). */
export function splitTarget(target: string): { path: string; query: string } {
  const at = target.indexOf("?");
  return at < 0 ? { path: target, query: "" } : { path: target.slice(0, at), query: target.slice(at) };
}
