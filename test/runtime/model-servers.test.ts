import { expect, it } from "vitest";
import { questions } from "../../commands/doctor/questions.ts";
import { modelListUrl } from "../../runtime/model-servers.ts";

it.each([
  ["ollama", "http://127.0.0.1:11434", "http://127.0.0.1:11434/api/tags"],
  ["ollama", "http://127.0.0.1:11434/", "http://127.0.0.1:11434/api/tags"],
  ["openai", "http://127.0.0.1:1234/lm/studio", "http://127.0.0.1:1234/lm/studio/v1/models"],
  ["openai", "http://127.0.0.1:1234/lm//", "http://127.0.0.1:1234/lm/v1/models"],
] as const)("the list of models of %s at %s", (kind, url, list) => {
  expect(modelListUrl({ kind, url })).toBe(list);
});

it("is what doctor asks, also behind a prefix", () => {
  const mac = { name: "studio", ports: { relay: 1, admin: 2, connector: 3 } };
  const model = { kind: "openai", url: "http://127.0.0.1:1234/lm" };
  const asked = JSON.stringify(questions(mac as never, { model, documents: {} } as never));
  expect(asked).toContain("http://127.0.0.1:1234/lm/v1/models");
});
