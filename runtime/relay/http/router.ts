/** Which paths there are. Matched on the path exactly as received: nothing is decoded, nothing is normalised. */
import type { ModelConfig } from "../../config.ts";
import { RelayError } from "../errors.ts";

/** Where a request goes after the Access check. */
export type Route =
  | { readonly kind: "status"; readonly name: string; readonly view: "page" | "data" }
  | { readonly kind: "job"; readonly name: string; readonly act: JobAct; readonly id: string }
  | { readonly kind: "documents"; readonly name: "/v1/documents" | "/v1/documents/search" }
  | {
      readonly kind: "model";
      /** The path's pattern, for metrics and the log. */
      readonly name: string;
      /** Whether the request carries a JSON body that is looked at before it is sent on. */
      readonly hasBody: boolean;
    };

/** What is wanted of a job; `response`: in the form of OpenAI's background responses. */
export type JobAct = "job" | "result" | "events" | "response" | "cancel_response";

interface Row {
  readonly route: Route;
  /** The path itself, or its pattern. */
  readonly path: string | RegExp;
  readonly methods: readonly string[];
  readonly ollamaOnly: boolean;
}

const READ = ["GET", "HEAD"];

function model(method: "GET" | "POST", name: string, path: string | RegExp = name): Row {
  return {
    route: { kind: "model", name, hasBody: method === "POST" },
    path,
    methods: method === "GET" ? READ : ["POST"],
    ollamaOnly: name.startsWith("/api/"),
  };
}

function documents(name: "/v1/documents" | "/v1/documents/search", methods: readonly string[]): Row {
  return { route: { kind: "documents", name }, path: name, methods, ollamaOnly: false };
}

// A part of only dots (`..`) would climb out of /v1/models once the model server decodes and cleans the path.
const MODEL_ID = /^\/v1\/models\/(?!\.+(?:%2F|$))[\w.:-]+(?:%2F(?!\.+(?:%2F|$))[\w.:-]+)*$/i;

function job(act: JobAct, name: string, methods: readonly string[]): Row {
  const path = new RegExp(`^${name.replace("{id}", "([\\w-]{1,80})")}$`);
  return { route: { kind: "job", name, act, id: "" }, path, methods, ollamaOnly: false };
}

const ROWS: readonly Row[] = [
  ...(["page", "data"] as const).map((view): Row => {
    const name = view === "page" ? "/status" : "/status/data.json";
    return { route: { kind: "status", name, view }, path: name, methods: READ, ollamaOnly: false };
  }),
  documents("/v1/documents", ["GET", "HEAD", "PUT", "DELETE"]),
  documents("/v1/documents/search", ["POST"]),
  model("POST", "/v1/chat/completions"),
  model("POST", "/v1/completions"),
  model("POST", "/v1/responses"),
  model("POST", "/v1/embeddings"),
  model("GET", "/v1/models"),
  model("GET", "/v1/models/{id}", MODEL_ID),
  job("job", "/v1/jobs/{id}", [...READ, "DELETE"]),
  job("result", "/v1/jobs/{id}/result", READ),
  job("events", "/v1/jobs/{id}/events", ["GET"]),
  job("response", "/v1/responses/{id}", READ),
  job("cancel_response", "/v1/responses/{id}/cancel", ["POST"]),
  model("POST", "/api/chat"),
  model("POST", "/api/generate"),
  model("POST", "/api/embed"),
  model("POST", "/api/embeddings"),
  model("POST", "/api/show"),
  model("GET", "/api/tags"),
  model("GET", "/api/ps"),
  model("GET", "/api/version"),
];

const EXACT = new Map(ROWS.flatMap((row) => (typeof row.path === "string" ? [[row.path, row] as const] : [])));
const PATTERNS = ROWS.flatMap(({ path, ...row }) => (typeof path === "string" ? [] : [{ ...row, path }]));

/** Splits a request target at the first `?`: the path as received, and the query with its `?` (or ""). */
export function splitTarget(target: string): { path: string; query: string } {
  const at = target.indexOf("?");
  return at < 0 ? { path: target, query: "" } : { path: target.slice(0, at), query: target.slice(at) };
}

/** Finds the route. Throws `path_not_allowed`, or `method_not_allowed` with `Allow`. */
export function findRoute(method: string, path: string, kind: ModelConfig["kind"]): Route {
  const row = EXACT.get(path) ?? PATTERNS.find((candidate) => candidate.path.test(path));
  if (row === undefined) {
    throw new RelayError("path_not_allowed", "This path is not served. The paths that are: see docs/errors.md.");
  }
  if (row.ollamaOnly && kind !== "ollama") {
    throw new RelayError(
      "path_not_allowed",
      `${row.route.name} is a path of Ollama, and the model server behind this address is another one. Use the paths under /v1/.`,
    );
  }
  if (!row.methods.includes(method)) {
    const allow = row.methods.join(", ");
    throw new RelayError("method_not_allowed", `${row.route.name} takes ${allow}, not ${method}.`, {
      headers: { Allow: allow },
    });
  }
  return row.route.kind === "job"
    ? { ...row.route, id: typeof row.path === "string" ? "" : (row.path.exec(path)?.[1] ?? "") }
    : row.route;
}
