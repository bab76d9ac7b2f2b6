import { expect, it } from "vitest";
import { modelServer } from "../../commands/doctor/checks/model-server.ts";
import { modelListUrl } from "../../runtime/model-servers.ts";

it.each([
  ["ollama", "http://127.0.0.1:11434", "http://127.0.0.1:11434/api/tags"],
  ["ollama", "http://127.0.0.1:11434/", "http://127.0.0.1:11434/api/tags"],
  ["openai", "http://127.0.0.1:1234/lm/studio", "http://127.0.0.1:1234/lm/studio/v1/models"],
  ["openai", "http://127.0.0.1:1234/lm//", "http://127.0.0.1:1234/lm/v1/models"],
] as const)("the list of models of %s at %s", (kind, url, list) => {
  expect(modelListUrl({ kind, url })).toBe(list);
});

it("is what doctor requests, behind a prefix too", () => {
  const model = { kind: "openai", url: "http://127.0.0.1:1234/lm" };
  const asked = modelServer.commands({ model } as never);
  expect(asked.list).toContain("'http://127.0.0.1:1234/lm/v1/models'");
});
