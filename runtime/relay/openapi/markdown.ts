/** `docs/api.md` from the same description as `/openapi.json`. Pure. */
import type { Json } from "./own-paths.ts";

const METHODS = ["get", "put", "post", "delete"] as const;

/** @param description as `openApi` gives it @returns Markdown, with a line feed at its end */
export function apiMarkdown(description: Json): string {
  const paths = Object.entries(description.paths as Record<string, Record<string, Operation>>);
  const rows = paths.flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ path, method: method.toUpperCase(), operation }];
    }),
  );
  const tags = description.tags as { name: string; description: string; externalDocs?: { url: string } }[];
  const sections = tags.map(({ name, description: what, externalDocs }) => {
    const of = rows.filter(({ operation }) => operation.tags.includes(name));
    const source = externalDocs === undefined ? "" : ` Described at <${externalDocs.url}>.`;
    return [
      `## ${name}`,
      "",
      `${what}.${source}`,
      "",
      "| request | what it does | parameters | body | answers |",
      "|---|---|---|---|---|",
      ...of.map(({ path, method, operation }) => rowOf(path, method, operation)),
    ].join("\n");
  });
  return [HEAD, ...sections, schemas(description), ""].join("\n\n").replace(/\n+$/, "\n");
}

const HEAD = `# API

Made by \`npm run docs:api\` from the schemas that check requests; a test holds this page to them. The same, for programs: \`GET /openapi.json\` (OpenAPI 3.1), which leaves out the APIs that the stack's model server does not serve. Errors: [errors.md](errors.md).`;

interface Operation {
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly { name: string; in: string; required: boolean; description: string }[];
  readonly requestBody?: { content: Json };
  readonly responses: Readonly<Record<string, { description?: string; content?: Json }>>;
}

function rowOf(path: string, method: string, { summary, parameters = [], requestBody, responses }: Operation): string {
  const named = parameters.map(
    ({ name, in: where, required, description }) =>
      `\`${name}\` (${where}${required ? ", required" : ""}): ${description}`,
  );
  const answers = Object.entries(responses)
    .filter(([status]) => status !== "default")
    .map(([status, { description = "", content = {} }]) => `${status} ${description}${schemaNames(content)}`);
  const body = requestBody === undefined ? "" : schemaNames(requestBody.content).trim() || "as the owner has it";
  return `| \`${method} ${path}\` | ${summary} | ${named.join("<br>")} | ${body} | ${answers.join("<br>")} |`;
}

/** ` ([Job](#job))` for the schemas that a content refers to; "" for none. */
function schemaNames(content: Json): string {
  const found = [...JSON.stringify(content).matchAll(/#\/components\/schemas\/(\w+)"/g)].map(([, name = ""]) => name);
  return found.length === 0 ? "" : ` (${found.map((name) => `[${name}](#${name.toLowerCase()})`).join(", ")})`;
}

function schemas({ components }: Json): string {
  const all = (components as { schemas: Record<string, unknown> }).schemas;
  return [
    "## Schemas",
    ...Object.entries(all).map(
      ([name, schema]) => `### ${name}\n\n\`\`\`json\n${JSON.stringify(schema, undefined, 2)}\n\`\`\``,
    ),
  ].join("\n\n");
}
