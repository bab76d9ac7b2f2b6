import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelProbe } from "../../commands/doctor/checks/model-probe.ts";
import { modelServer } from "../../commands/doctor/checks/model-server.ts";
import { modelSlots } from "../../commands/doctor/checks/model-slots.ts";
import {
  MODEL_SERVER_KINDS,
  MODEL_SERVERS,
  type ModelServerKind,
  modelListUrl,
  recognizeServer,
} from "../../runtime/model-servers.ts";
import { DIALECTS } from "../../runtime/relay/dialects/dialects.ts";
import { checkBody } from "../../runtime/relay/http/body-rules.ts";
import { createRouter } from "../../runtime/relay/http/router.ts";
import { openApi } from "../../runtime/relay/openapi/openapi.ts";
import { modelCall } from "./relay/dialects/model-call.ts";

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

it("asks a server in turn for what each kind is recognized by", async () => {
  const asked: string[] = [];
  const answers: Record<string, unknown> = { "/v1/models": { data: [{ id: "a" }] } };
  const ask = async (path: string) => {
    asked.push(path);
    return answers[path];
  };
  expect(await recognizeServer(ask)).toMatchObject({ kind: "openai" });
  answers["/api/version"] = { version: "0.30.1" };
  expect(await recognizeServer(ask)).toEqual({ kind: "ollama", shown: "Ollama 0.30.1" });
  expect(asked).toEqual(["/api/version", "/v1/models", "/api/version"]);
  expect(await recognizeServer(async () => ({ name: "another program" }))).toBeUndefined();
});

describe("a new kind of a known API", () => {
  // One entry, put at the front as a more specific kind must be; everything below is imported after it.
  const fresh = {
    ...MODEL_SERVERS.openai,
    title: "Fresh Engine",
    recognize: {
      path: "/fresh",
      shown: (answer: unknown) => (answer === "fresh" ? "Fresh Engine 1" : undefined),
    },
    embeds: async (_ask: unknown, model: string) => model === "dense",
    usualUrls: ["http://127.0.0.1:9911"],
    parallel: { variable: "FRESH_PARALLEL", unset: 3 },
    slotsPath: undefined,
    hasCloudModels: true,
    withoutCloudEnv: { FRESH_OFFLINE: "yes" },
  };
  const kind = "fresh" as ModelServerKind;
  const answers: Record<string, unknown> = {
    "/fresh": "fresh",
    "/v1/models": { data: [{ id: "talk" }, { id: "dense" }] },
  };

  beforeAll(() => {
    Object.assign(MODEL_SERVERS, { fresh });
    MODEL_SERVER_KINDS.unshift(kind);
  });
  afterAll(() => {
    delete (MODEL_SERVERS as Record<string, unknown>).fresh;
    MODEL_SERVER_KINDS.shift();
  });

  it("is accepted by the configs of the relay and of the stack", async () => {
    const { modelSchema } = await import(`../../runtime/model-config.ts?${kind}`);
    expect(modelSchema.shape.kind.parse(kind)).toBe(kind);
  });

  it("is found to want a key where it refuses to compute without one", async () => {
    const { modelServerAt } = await import(`../../commands/init/model-server.ts?${kind}`);
    const run = async (command: readonly string[]) => {
      const { pathname } = new URL(command.at(-1)!);
      const status = pathname === "/v1/embeddings" ? 401 : 200;
      return { exitCode: 0, stdout: `${JSON.stringify(answers[pathname] ?? null)}\n${status}`, stderr: "" };
    };
    const url = "http://127.0.0.1:9911";
    expect(await modelServerAt({ run } as never, url)).toEqual({ url, isLocked: true });
  });

  it("is found on the Mac by init, with its models and which of them embed", async () => {
    const { modelServerAt, usualUrls } = await import(`../../commands/init/model-server.ts?${kind}`);
    expect(usualUrls).toContain("http://127.0.0.1:9911");
    const run = async (command: readonly string[]) => {
      const answer = answers[new URL(command.at(-1)!).pathname];
      return answer === undefined
        ? { exitCode: 22, stdout: "", stderr: "" }
        : { exitCode: 0, stdout: `${JSON.stringify(answer)}\n200`, stderr: "" };
    };
    expect(await modelServerAt({ run } as never, "http://127.0.0.1:9911")).toEqual({
      kind,
      shown: "Fresh Engine 1",
      url: "http://127.0.0.1:9911",
      models: [
        { name: "talk", embeds: false },
        { name: "dense", embeds: true },
      ],
    });
  });

  it("is served its API's paths by the relay, and no others", () => {
    const router = createRouter(DIALECTS, kind);
    expect(router.find("POST", "/v1/chat/completions")).toBeDefined();
    expect(() => router.find("POST", "/api/chat")).toThrow("another one");
    const { paths } = openApi({ hostname: "slm.example.com", kind, dialects: DIALECTS });
    expect(Object.keys(paths as object)).toContain("/v1/chat/completions");
    expect(Object.keys(paths as object)).not.toContain("/api/chat");
  });

  it("has the models of its cloud refused by the relay", () => {
    const route = modelCall("/v1/chat/completions");
    const check = (model: string) => checkBody(Buffer.from(JSON.stringify({ model })), route, { kind });
    expect(() => check("big:cloud")).toThrow("cloud");
    expect(check("small:1b")).toMatchObject({ facts: { models: ["small:1b"] } });
  });

  it("is checked by doctor for its slots, under its own names", () => {
    const model = { kind, url: "http://127.0.0.1:9911/" };
    const asked = modelSlots.commands({ model } as never);
    expect(asked.slots).toContain("^FRESH_PARALLEL=");
  });
});

it.each(["http://127.0.0.1:8080/lm", "http://127.0.0.1:8080/lm/", "http://127.0.0.1:8080/lm//"])(
  "doctor asks below %s without a doubled slash",
  (url) => {
    const model = { kind: "openai", url, embeddingModel: "e" };
    const limits = { chat: 1 };
    const sent = [
      modelServer.commands({ model } as never).list,
      modelSlots.commands({ model } as never).props,
      modelProbe("node", { model, limits } as never),
    ];
    for (const command of sent) {
      expect(command).toMatch(/'?http:\/\/127\.0\.0\.1:8080\/lm(\/(v1\/models|props))?\b/);
      expect(command).not.toContain("lm//");
    }
  },
);
