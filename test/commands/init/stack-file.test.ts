import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { networksFault } from "../../../commands/init/documents.ts";
import { readOptions } from "../../../commands/init/options.ts";
import {
  type Answers,
  missingSecrets,
  readBefore,
  readConfig,
  writeAnswers,
  writeEncrypted,
} from "../../../commands/init/stack-file.ts";
import { faultAt } from "../../../commands/init/validate.ts";
import { looksLikeEmbedding } from "../../../runtime/model-servers.ts";

const model = await readFile(join(import.meta.dirname, "../../../Pulumi.prod.yaml"), "utf8");
const answers: Answers = {
  account: { accountId: "a".repeat(32), zoneId: `${"1".repeat(31)}e`, hostname: "slm.example.org" },
  server: "shop",
  people: ["director@example.org"],
  alerts: [],
  mac: { host: "10.0.0.5", port: 22, user: "deploy", hostKey: "ssh-ed25519 AAAA", fingerprint: "SHA256:abc" },
  model: { kind: "openai", url: "http://127.0.0.1:1234", embeddingModel: "bge-m3" },
  documents: { store: "atlas", projectId: "d".repeat(24), cluster: "main", allowFrom: ["203.0.113.9/32"] },
  baseUrls: {},
};
const write = (text: string, change: Partial<Answers> = {}) =>
  writeAnswers(readBefore(text, "f"), model, "staging", { ...answers, ...change });
const comments = (text: string) => text.split("\n").flatMap((line) => /^\s*# .*/.exec(line)?.[0].trim() ?? []);

describe("a new stack file", () => {
  it("has the example's comments and none of its example values", () => {
    const text = write("");
    const kept = comments(model).filter(
      (line) => !/openssl|ssh-keyscan|Fill in|Credentials|environment, the SSH/.test(line),
    );
    for (const line of kept) expect(text).toContain(line);
    expect(text).not.toMatch(/0{24}|192\.168\.0\.20|203\.0\.113\.7|openssl/);
    expect(text).toContain("# SHA256:abc");
    expect(readConfig(text, "f")).toMatchObject({ hostname: "slm.example.org", limits: { chat: 4 } });
  });

  it("keeps a commented-out key at its own depth, so that removing the # enables it", () => {
    const text = write("");
    expect(text).toMatch(/^ {2}# slm-network:fallback:$/m);
    expect(text).toMatch(/^ {4}# allowed: /m);
  });

  it("keeps ids as text, even those that look like numbers to YAML", () => {
    const { config } = parse(write("")) as { config: Record<string, unknown> };
    expect(config["slm-network:zoneId"]).toBe(`${"1".repeat(31)}e`);
    const { config: digits } = parse(write("", { account: { ...answers.account, zoneId: "1".repeat(32) } }));
    expect(digits["slm-network:zoneId"]).toBe("1".repeat(32));
  });

  it("keeps what `pulumi stack init` wrote, and no secret or rotation of the template", () => {
    const filled = write("")
      .replace("config:\n", `encryptionsalt: v1:theirs\nconfig:\n  slm-network:tunnelSecret:\n    secure: v1:theirs\n`)
      .replace("secretVersion: 1", 'secretVersion: 3\n        previousSecretExpiresAt: "2026-12-01T00:00:00Z"');
    const text = writeAnswers(readBefore("encryptionsalt: v1:mine\n", "f"), filled, "second", answers);
    expect(text).toContain("encryptionsalt: v1:mine");
    expect(text).not.toContain("theirs");
    expect(readConfig(text, "f").access.servers).toMatchObject([{ name: "shop", secretVersion: 1 }]);
  });

  it("has no Atlas settings when documents stay on the Mac, and needs one secret", () => {
    const text = write("", { documents: { store: "embedded" } });
    expect(readConfig(text, "f").documents).not.toHaveProperty("atlas");
    expect(missingSecrets(text)).toEqual(["tunnelSecret"]);
    expect(missingSecrets(write(""))).toEqual(["tunnelSecret", "atlasSchemaPassword", "atlasRelayPassword"]);
  });
});

describe("an existing stack file", () => {
  it("stays the same text, with its secrets, when nothing changes", () => {
    const secrets = { "slm-network:tunnelSecret": { secure: "v1:x" } };
    const text = writeEncrypted(write(""), { settings: { encryptionsalt: "v1:salt" }, secrets });
    expect(text).toMatch(/tunnelSecret:\n {4}secure: v1:x\n[\s\S]*encryptionsalt: v1:salt/);
    expect(write(text)).toBe(text);
    expect(writeEncrypted(text, { settings: {}, secrets: {} })).toBe(text);
  });

  it("keeps settings that init does not decide, and every comment", () => {
    const mine = write("").replace("chat: 4 #", "chat: 9 # mine,").replace("cluster: main", "cluster: old");
    const text = write(mine);
    expect(text).toBe(mine.replace("cluster: old", "cluster: main"));
  });

  it("counts as the example while no account is set", () => {
    expect(readBefore(model, "f")).toMatchObject({ isExample: true, isEmpty: false, config: {} });
    expect(readBefore(write(""), "f")).toMatchObject({ isExample: false, isEmpty: false });
    expect(readBefore("", "f").isEmpty).toBe(true);
  });

  it("is refused when it is not YAML", () => {
    expect(() => readBefore("a: [", "Pulumi.x.yaml")).toThrow(/Pulumi\.x\.yaml is not valid YAML/);
  });
});

describe("answers and options", () => {
  it("are validated by the config's schema", () => {
    expect(faultAt(["hostname"], "https://slm.example.com")).toContain("is not a host name");
    expect(faultAt(["macs", 0, "host"], "")).toContain("is empty");
    expect(networksFault(["0.0.0.0/0"])).toContain("exposes the database to the internet");
    expect(faultAt(["access", "people", "emails"], ["a@b"])).toContain("is not an e-mail address");
    expect(faultAt(["access", "servers", 0, "name"], "Back End")).toContain("Back End");
    expect(networksFault(["203.0.113.7"])).toContain("is not an IPv4 network");
    expect(networksFault(["203.0.113.7/32"])).toBeUndefined();
    expect(faultAt(["hostname"], "slm.example.com")).toBeUndefined();
    expect(faultAt(["access", "people", "emails"], [])).toBeUndefined();
  });

  it("are refused when they cannot be read", () => {
    expect(() => readOptions(["--nope"])).toThrow(/--nope[\s\S]*npm run init/);
    expect(() => readOptions(["--mac-port", "ssh"])).toThrow(/--mac-port is "ssh"/);
    expect(() => readOptions(["--token", "backend"])).toThrow(/--token is "backend"/);
    expect(readOptions(["--token", "backend=x"], {}).tokens.get("backend")).toBe("x");
    expect(readOptions([], { PULUMI_STACK: "dev" }).stack).toBe("dev");
    expect(readOptions([], {}).stack).toBe("prod");
  });

  it("recognise embedding models by name when the server does not tell", () => {
    for (const name of ["bge-m3:latest", "nomic-embed-text", "multilingual-e5-large", "gte-large"]) {
      expect(looksLikeEmbedding(name), name).toBe(true);
    }
    for (const name of ["slm-ko", "qwen3:8b", "phi3.5"]) expect(looksLikeEmbedding(name), name).toBe(false);
  });
});
