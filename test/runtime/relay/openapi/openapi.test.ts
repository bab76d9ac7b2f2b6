import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { describe, expect, it } from "vitest";
import { MODEL_SERVER_KINDS, modelServer } from "../../../../runtime/model-servers.ts";
import { DIALECTS } from "../../../../runtime/relay/dialects/dialects.ts";
import { createRouter } from "../../../../runtime/relay/http/router.ts";
import { apiMarkdown } from "../../../../runtime/relay/openapi/markdown.ts";
import { openApi } from "../../../../runtime/relay/openapi/openapi.ts";

const hostname = "slm.example.com";
const project = join(import.meta.dirname, "../../../..");

async function problemsOf(description: object) {
  const config = await createConfig({
    extends: ["recommended-strict"],
    // Errors are the response "default"; 4XX each by itself would say the same on every path.
    rules: { "operation-4xx-response": "off" },
  });
  const found = await lintFromString({ source: JSON.stringify(description), config, absoluteRef: "openapi.json" });
  return found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ""}`);
}

describe("the description", () => {
  it.each([undefined, ...MODEL_SERVER_KINDS])("passes a linter, for the model server %s", async (kind) => {
    // The linter wants a real host.
    expect(await problemsOf(openApi({ hostname: "slm.kb.example", kind, dialects: DIALECTS }))).toEqual([]);
  });

  it("would not pass with a fault in it", async () => {
    const broken = structuredClone(openApi({ hostname, dialects: DIALECTS })) as { paths: Record<string, unknown> };
    broken.paths["/v1/jobs/{id}"] = { get: { responses: {} } };
    expect((await problemsOf(broken)).length).toBeGreaterThan(0);
  });

  it.each(MODEL_SERVER_KINDS)("names exactly the paths and methods that the relay serves to callers: %s", (kind) => {
    const { paths } = openApi({ hostname, kind, dialects: DIALECTS }) as { paths: Record<string, object> };
    const router = createRouter(DIALECTS, kind);
    const methods = ["get", "put", "post", "delete", "patch"];
    for (const [path, item] of Object.entries(paths)) {
      const real = path.replace("{id}", path.startsWith("/v1/models") ? "a" : `job_${"0".repeat(32)}`);
      for (const method of methods) {
        const serves = () => router.find(method.toUpperCase(), real);
        if (method in item) expect(serves, `${method} ${path}`).not.toThrow();
        else expect(serves, `${method} ${path}`).toThrow(/takes/);
      }
    }
    const served = DIALECTS.filter(({ servedBy }) => servedBy[modelServer(kind).api]).flatMap(({ routes }) => routes);
    expect(Object.keys(paths)).toEqual(expect.arrayContaining(served.map(({ name }) => name)));
    expect("/api/chat" in paths).toBe(kind === "ollama");
  });

  it("takes the requests' schemas from the ones that check them", () => {
    const { components } = openApi({ hostname, dialects: DIALECTS }) as {
      components: { schemas: Record<string, { properties: Record<string, unknown>; additionalProperties?: boolean }> };
    };
    expect(Object.keys(components.schemas.Search!.properties)).toEqual([
      ...["company", "title", "titles", "query", "vector", "k", "rerank"],
    ]);
    expect(components.schemas.DocumentContents).toMatchObject({ additionalProperties: false });
  });
});

it("docs/api.md is made from the same source: run `npm run docs:api` after a change", () => {
  const page = readFileSync(join(project, "docs/api.md"), "utf8");
  expect(page).toBe(apiMarkdown(openApi({ hostname, dialects: DIALECTS })));
});
