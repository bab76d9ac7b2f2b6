/**
 * `/openapi.json`: the relay's own endpoints from the schemas that check them, and the paths that are passed through by
 * reference to the API's owner. Pure.
 */
import { type ModelServerKind, modelServer } from "../../model-servers.ts";
import type { ApiJobRoute, Dialect, ModelRoute } from "../dialects/dialect.ts";
import { ERROR, type Json, OWN_PATHS, SCHEMAS, schemaOf } from "./own-paths.ts";

/** Where the owner of an API describes it, by the dialect's name. */
const OWNERS: Readonly<Record<string, string>> = {
  openai: "https://platform.openai.com/docs/api-reference",
  ollama: "https://docs.ollama.com/api",
  anthropic: "https://docs.anthropic.com/en/api",
};

export interface OpenApiOptions {
  readonly hostname: string;
  /** Of the model server; undefined: every dialect is described. */
  readonly kind?: ModelServerKind | undefined;
  readonly dialects: readonly Dialect[];
}

/** The description as an object. */
export function openApi({ hostname, kind, dialects }: OpenApiOptions): Json {
  const served = dialects.filter(({ servedBy }) => kind === undefined || servedBy[modelServer(kind).api]);
  const paths: Record<string, Json> = { ...OWN_PATHS };
  for (const dialect of served) {
    for (const route of dialect.routes) {
      const { name } = route;
      paths[name] ??= { ...pathParameters(name), ...operations(route, dialect) };
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "slm-network",
      version: "1",
      summary: "A language model on the company's own Mac",
      description:
        "Paths tagged with an API's name are passed through to the model server and described by their owner; all others are the relay's own. Every POST for inference becomes a job with `Prefer: respond-async`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: `https://${hostname}` }],
    security: [{ clientId: [], clientSecret: [] }],
    tags: [
      { name: "jobs", description: "Work that is kept until it is done" },
      { name: "documents", description: "Vectors of documents, found without the text" },
      { name: "usage", description: "What was used" },
      { name: "description", description: "This description" },
      ...served.map((dialect) => ({
        name: dialect.name,
        description: `${dialect.title}'s API, passed through`,
        ...owner(dialect),
      })),
    ],
    paths,
    components: {
      securitySchemes: {
        clientId: { type: "apiKey", in: "header", name: "CF-Access-Client-Id" },
        clientSecret: { type: "apiKey", in: "header", name: "CF-Access-Client-Secret" },
      },
      responses: {
        Error: {
          description: "Every error of the relay; one of the model server is passed through as it is",
          content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
        },
      },
      schemas: Object.fromEntries(names.map((name) => [name, schemaOf(name)])),
    },
  };
}

const names = Object.keys(SCHEMAS) as (keyof typeof SCHEMAS)[];

const owner = ({ name }: Dialect): Json => {
  const url = OWNERS[name];
  return url === undefined ? {} : { externalDocs: { url } };
};

function pathParameters(name: string): Json {
  if (!name.includes("{id}")) return {};
  const id = { name: "id", in: "path", required: true, description: "The id", schema: { type: "string" } };
  return { parameters: [id] };
}

/** GET includes HEAD, which is not described. */
function operations(route: ModelRoute | ApiJobRoute, dialect: Dialect): Json {
  const methods = route.kind === "job" ? route.methods.filter((method) => method !== "HEAD") : [route.method];
  return Object.fromEntries(methods.map((method) => [method.toLowerCase(), operation(method, route, dialect)]));
}

function operation(method: string, route: ModelRoute | ApiJobRoute, dialect: Dialect): Json {
  const { name } = route;
  const asJob = route.kind === "model" && route.queue !== undefined;
  return {
    operationId: `${method.toLowerCase()}${name.replace(/[^A-Za-z]+(.)?/g, (_, next: string = "") => next.toUpperCase())}`,
    tags: [dialect.name],
    summary:
      route.kind === "job"
        ? `${dialect.title}'s ${method} ${name}, answered from the relay's jobs`
        : `${dialect.title}'s ${method} ${name}, passed through`,
    ...owner(dialect),
    ...(asJob && { parameters: [PREFER, IDEMPOTENCY_KEY, COMPANY] }),
    ...(method === "POST" &&
      route.kind === "model" && {
        requestBody: { required: true, content: { "application/json": { schema: { type: "object" } } } },
      }),
    responses: {
      200: { description: "As the owner describes it", content: { "application/json": { schema: {} } } },
      ...(asJob && {
        202: {
          description: "A job, with `Prefer: respond-async`",
          content: { "application/json": { schema: { $ref: "#/components/schemas/Job" } } },
        },
      }),
      ...ERROR,
    },
  };
}

const header = (name: string, description: string): Json => ({
  name,
  in: "header",
  required: false,
  description,
  schema: { type: "string" },
});
const PREFER = header("Prefer", "`respond-async`, and `wait=20` beside it");
const IDEMPOTENCY_KEY = header("Idempotency-Key", "The same key and body: the same job or answer");
const COMPANY = header("Slm-Company", "Whose request it is; percent-encoded UTF-8");
