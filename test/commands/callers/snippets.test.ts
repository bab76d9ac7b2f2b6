import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CLIENTS, headingOf, snippetOf, templateOf, type Values } from "../../../commands/callers/snippets.ts";
import { type Asked, type Known, valuesFor } from "../../../commands/callers/values.ts";
import { UsageError } from "../../../commands/errors.ts";
import { modelConfigSchema } from "../../../config/model.ts";
import { routeSchema } from "../../../config/route.ts";

const secret = "cfast_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL";
const values: Values = {
  url: "https://slm.example.com",
  model: "qwen3:8b",
  embeddingModel: "bge-m3",
  clientId: "0123.access",
  clientSecret: undefined,
  singleHeader: "x-api-key",
};
const named = (name: string) => CLIENTS.find((client) => client.name === name)!;

describe("the snippets", () => {
  it("are there for the fourteen clients that people use", () => {
    expect(CLIENTS.map(({ name }) => name)).toEqual([
      ...["curl", "python", "javascript", "langchain-python", "langchain-javascript", "spring"],
      ...[
        "anthropic-python",
        "anthropic-javascript",
        "ollama-python",
        "ollama-javascript",
        "claude-code",
        "continue",
        "n8n",
        "dify",
        "open-webui",
      ],
      "anythingllm",
    ]);
  });

  it.each(CLIENTS.map((client) => [client.name, client] as const))(
    "leaves the secret out unless asked: %s",
    (_name, client) => {
      const without = snippetOf(client, values);
      expect(without).not.toContain(secret);
      expect(without).toMatch(/SLM_CLIENT_SECRET|<client secret>/);
      expect(headingOf(client, values).join("\n")).toMatch(/the client secret is left out/);
      const asked = { ...values, clientSecret: secret };
      const whole = snippetOf(client, asked);
      expect(whole).toContain(secret);
      // Every value stands in it: nothing is left for the reader to fill in.
      expect(whole).not.toMatch(/SLM_|[<>]access|<client/);
      expect(whole).toContain(values.url);
      expect(whole).toContain(values.clientId);
      expect(headingOf(client, asked).join("\n")).not.toMatch(/left out/);
    },
  );

  it.each(CLIENTS.map((client) => [client.name, client] as const))(
    "says whether it was run, or where it is described: %s",
    (_name, client) => {
      const heading = headingOf(client, values).join("\n");
      if (client.describedAt === undefined) expect(heading).toContain("run as printed by this project's tests");
      else expect(heading).toMatch(/as described at https:\/\/\S+; not run/);
    },
  );

  it.each([
    ["chat.sh", "curl"],
    ["with_openai.py", "python"],
    ["with-openai.mjs", "javascript"],
    ["with_langchain.py", "langchain-python"],
    ["with-langchain.mjs", "langchain-javascript"],
    ["Caller.java", "spring"],
  ])("is the README's caller: %s", (file, name) => {
    const readme = readFileSync(join(import.meta.dirname, "../../../README.md"), "utf8");
    const printed = new RegExp(`^\`\`\`\\S+ file=${file.replace(".", "\\.")}\\n(.*?)^\`\`\`$`, "ms").exec(readme)?.[1];
    expect(templateOf(named(name))).toBe(printed);
  });

  it("writes values so that a shell and a language read them as they are", () => {
    const odd = { ...values, model: 'a"b$c`d\\e', clientSecret: secret };
    expect(snippetOf(named("curl"), odd)).toContain('a\\"b\\$c\\`d\\\\e');
    expect(snippetOf(named("python"), odd)).toContain('model="a\\"b$c`d\\\\e"');
    expect(snippetOf(named("javascript"), odd)).toContain('model: "a\\"b$c`d\\\\e"');
  });

  it("names the single header where a client can send one only, and says when there is none", () => {
    const n8n = snippetOf(named("n8n"), { ...values, clientSecret: secret });
    expect(n8n).toMatch(/Header Name +x-api-key/);
    expect(n8n).toContain(`{"cf-access-client-id": "0123.access", "cf-access-client-secret": "${secret}"}`);
    const heading = headingOf(named("n8n"), { ...values, singleHeader: undefined }).join("\n");
    expect(heading).toMatch(/needs access\.singleHeader/);
    expect(headingOf(named("curl"), { ...values, singleHeader: undefined }).join("\n")).not.toMatch(/singleHeader/);
  });
});

describe("the values", () => {
  const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILmR2lvXvQ1xkGkz9vYkqXo1hYk2jzcm0f5pXb7cXn1O";
  const line = {
    server: "backend",
    host: "b.example.com",
    hostKey,
    port: 22,
    user: "slm-direct",
    listen: "127.0.0.1:18400",
  };
  const known = (more: Partial<Known> = {}): Known => ({
    settings: {
      hostname: "slm.example.com",
      model: modelConfigSchema.parse({ embeddingModel: "bge-m3", allowed: ["bge-m3", "qwen3:8b"] }),
      route: { ...routeSchema.parse({}), direct: [line] },
    },
    singleHeader: undefined,
    tokens: {
      backend: { clientId: "b.access", clientSecret: secret },
      batch: { clientId: "c.access", clientSecret: "s" },
    },
    callers: undefined,
    servedAt: undefined,
    ...more,
  });
  const asked = (more: Partial<Asked> = {}): Asked => ({
    server: "backend",
    road: undefined,
    model: undefined,
    showSecret: false,
    ...more,
  });

  it("take the direct line where the server has one, else the public name", () => {
    expect(valuesFor(asked(), known()).url).toBe("http://127.0.0.1:18400");
    expect(valuesFor(asked({ road: "public" }), known()).url).toBe("https://slm.example.com");
    expect(valuesFor(asked({ server: "batch" }), known()).url).toBe("https://slm.example.com");
    expect(valuesFor(asked({ server: "batch" }), known({ callers: "slm.other.net" })).url).toBe(
      "https://slm.other.net",
    );
  });

  it("take the first model that chats, or the one that is named; the secret only when asked", () => {
    expect(valuesFor(asked(), known())).toMatchObject({
      model: "qwen3:8b",
      clientId: "b.access",
      clientSecret: undefined,
    });
    expect(valuesFor(asked({ model: "m", showSecret: true }), known())).toMatchObject({
      model: "m",
      clientSecret: secret,
    });
  });

  it.each([
    [asked({ server: "nobody" }), /"nobody"; the stack has backend, batch/],
    [asked({ road: "air" }), /--road "air" is not a road: use direct or public/],
    [asked({ server: "batch", road: "direct" }), /batch has no direct line/],
  ])("refuse %j", (wanted, words) => {
    expect(() => valuesFor(wanted, known())).toThrow(UsageError);
    expect(() => valuesFor(wanted, known())).toThrow(words);
  });
});
