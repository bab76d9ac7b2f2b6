/**
 * Any value in any place of the stack's config: either all problems as a ConfigError, or a config whose every text reaches the
 * Mac's plists and files as it is. Elsewhere: one rule after another (`config.test.ts`), shell and plist on the emulated Mac
 * (`test/runtime/installer/odd-texts.integration.test.ts`).
 */
import fc from "fast-check";
import { parse as parsePlist } from "plist";
import { describe, expect, it } from "vitest";
import { directLines } from "../../components/direct-route.ts";
import { ConfigError, configKeys, parseStackConfig, readStackConfig, secretKeys } from "../../config/config.ts";
import { plistProblem } from "../../config/rule-helpers.ts";
import { knownHostsText, sshConfigText } from "../../runtime/installer/direct-files.ts";
import { layout } from "../../runtime/installer/layout.ts";
import { directDaemon, modelDaemon } from "../../runtime/installer/plists.ts";
import { ODD_TEXTS, UNPRINTABLE_TEXTS } from "../odd-texts.ts";

const SEED = Number(process.env.CONFIG_SEED ?? 22);
const RUNS = { seed: SEED, numRuns: 400 };
const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=";
const keyBytes = (first: string) =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from("ssh-ed25519"),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, first),
  ]);
const hostKey = `ssh-ed25519 ${keyBytes("1").toString("base64")}`;

/** Every optional section is there, so that every place can be replaced. */
const FULL = {
  hostname: "slm.example.com",
  zoneId: "0".repeat(32),
  accountId: "a".repeat(32),
  protect: true,
  route: {
    mode: "proxied",
    expectColo: ["ICN"],
    direct: [{ server: "backend", host: "b.example.com", port: 22, user: "line", hostKey, listen: "127.0.0.1:18400" }],
  },
  access: {
    servers: [
      {
        name: "backend",
        companies: ["가나"],
        weight: 1,
        secretVersion: 2,
        previousSecretExpiresAt: "2030-01-01T00:00:00Z",
        enabled: true,
        duration: "8760h",
      },
    ],
    people: {
      emails: ["kim@example.com"],
      emailDomains: ["example.com"],
      identityProviders: ["onetimepin"],
      sessionDuration: "24h",
    },
    singleHeader: "x-api-key",
  },
  macs: [
    {
      name: "studio",
      host: "192.168.0.20",
      port: 22,
      user: "deploy",
      hostKey,
      jump: { host: "jump.example.com", port: 22, user: "jump", hostKey },
      sshThroughTunnel: { hostname: "ssh.example.com", emails: ["kim@example.com"], servers: ["backend"] },
      ports: { relay: 8790, admin: 8791, connector: 8792, direct: 8793 },
      edgeIpVersion: 4,
      power: { set: true, ups: { mayStayOff: true, haltLevel: 20 } },
    },
  ],
  model: {
    kind: "ollama",
    url: "http://127.0.0.1:11434",
    embeddingModel: "bge-m3",
    rerankModel: "r",
    allowed: ["qwen"],
    options: { num_ctx: { min: 1, max: 2 }, use_mlock: true },
    timeouts: { connect: 5, firstByte: 900, silence: 300 },
    service: {
      program: "/opt/bin/ollama",
      args: ["serve"],
      env: { A: "b" },
      user: "models",
      workingDirectory: "/Users/models",
    },
  },
  fallback: { url: "https://api.openai.com", model: "m", companies: ["가나"] },
  alerts: { emails: ["kim@example.com"] },
  limits: {
    chat: 4,
    embeddings: 2,
    waiting: 256,
    waitingMiB: 64,
    memoryMiB: 1024,
    waitSeconds: 60,
    bodyMiB: 64,
    whenBusy: "queue",
  },
  jobs: { retentionDays: 7, maxDiskMiB: 4096, minFreeMiB: 2048, maxAttempts: 3, slots: 1, attemptMinutes: 30 },
  documents: {
    store: "embedded",
    ttlDays: 30,
    embedding: { documentPrefix: "p", queryPrefix: "q", dimensions: 8, revision: "1" },
    chunk: { characters: 1000, overlap: 100 },
  },
  tunnelSecret: secret,
  fallbackKey: "sk-x",
  modelKey: "key",
};

type Path = readonly (string | number)[];

function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [at];
  return [
    ...(at.length > 0 ? [at] : []),
    ...Object.entries(value).flatMap(([key, inner]) =>
      pathsOf(inner, [...at, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function replaced(value: unknown, [first, ...rest]: Path, by: unknown): unknown {
  if (first === undefined) return by;
  const copy: Record<string | number, unknown> | unknown[] = Array.isArray(value)
    ? [...(value as unknown[])]
    : { ...(value as object) };
  (copy as Record<string | number, unknown>)[first] = replaced(
    (value as Record<string | number, unknown>)[first],
    rest,
    by,
  );
  return copy;
}

const PATHS = pathsOf(FULL);

const META = [...ODD_TEXTS, ...UNPRINTABLE_TEXTS];
const text = fc.oneof(
  fc.constantFrom(...META),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc
    .tuple(
      fc.constantFrom("/opt/bin/", "a", "ssh-ed25519 AAAA", "http://"),
      fc.constantFrom(...META),
      fc.constantFrom("", "z", "/x"),
    )
    .map((parts) => parts.join("")),
);
const anything = fc.oneof(
  text,
  text,
  fc.jsonValue({ maxDepth: 3 }),
  fc.double(),
  fc.constantFrom(-1, 0, 1e308, Number.NaN, Number.POSITIVE_INFINITY, null, undefined, [], {}, [[]], [null], true),
);

/** What a raw config ends with. Anything but a config or a ConfigError is thrown on. */
function outcome(raw: Record<string, unknown>): ReturnType<typeof parseStackConfig> | readonly string[] {
  try {
    return parseStackConfig(raw);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    return cause.problems;
  }
}

describe("any value in any place of the stack's config", () => {
  it("is accepted as a whole before anything is changed", () => {
    expect(outcome(FULL)).toMatchObject({ hostname: "slm.example.com" });
  });

  it("gives a config, or problems that name the place", () => {
    fc.assert(
      fc.property(fc.constantFrom(...PATHS), anything, (path, value) => {
        const found = outcome(replaced(FULL, path, value) as Record<string, unknown>);
        if (!Array.isArray(found)) return;
        expect(found.length).toBeGreaterThan(0);
        for (const problem of found as string[]) expect(problem).toMatch(/^\S.*:? ?\S/s);
        // The place itself, one above it, or the setting whose rule compares it with another.
        expect((found as string[]).join("\n")).toContain(String(path[0]));
      }),
      RUNS,
    );
  });

  it("gives all problems at once: each wrong setting is named, however many are wrong", () => {
    const keys = Object.keys(FULL);
    fc.assert(
      fc.property(fc.uniqueArray(fc.constantFrom(...keys), { minLength: 2 }), (wrong) => {
        const raw = { ...FULL, ...Object.fromEntries(wrong.map((key) => [key, { "no such": 1 }])) };
        const found = outcome(raw);
        for (const key of wrong)
          expect((found as readonly string[]).some((problem) => problem.startsWith(`slm-network:${key}`))).toBe(true);
      }),
      { ...RUNS, numRuns: 100 },
    );
  });

  it("also as text, as Pulumi hands it over: JSON that is none, is cut, repeats keys or is deep", () => {
    const source = fc.dictionary(
      fc.constantFrom(...configKeys),
      fc.oneof(
        text,
        fc.json(),
        fc.constantFrom(
          "{",
          "[",
          '{"a":1,"a":2}',
          "[".repeat(20_000),
          `{"__proto__":{"mode":"saas"}}`,
          "\ufeff{}",
          "NaN",
        ),
      ),
    );
    fc.assert(
      fc.property(source, (values) => {
        try {
          readStackConfig({ get: (key: string) => values[key] } as never);
        } catch (cause) {
          if (!(cause instanceof ConfigError)) throw cause;
          expect(cause.problems.length).toBeGreaterThan(0);
        }
      }),
      RUNS,
    );
  });

  it("shows no secret in a problem", () => {
    fc.assert(
      fc.property(fc.constantFrom(...secretKeys), fc.constantFrom("", " ", "\n", "가", "short"), (key, tail) => {
        const found = outcome({ ...FULL, [key]: `hunter2${tail}` });
        if (Array.isArray(found)) expect(found.join("\n")).not.toContain("hunter2");
      }),
      { ...RUNS, numRuns: 60 },
    );
  });
});

const paths = layout("/");
const account = { user: "models", group: "staff", home: "/Users/models" };

/** Characters that XML 1.0 has, so that CoreFoundation's parser takes the file. */
const isXml = (plist: string) => plist.isWellFormed() && plistProblem(plist) === undefined;

describe("what is accepted reaches the Mac as it is", () => {
  const placed = (path: Path) =>
    fc.property(text, (value) => {
      const found = outcome(replaced(FULL, path, value) as Record<string, unknown>);
      if (Array.isArray(found)) return;
      const { model, route, macs } = found as ReturnType<typeof parseStackConfig>;
      const service = model.service!;
      const { plist } = modelDaemon(paths, service, { ...account, user: service.user });
      expect(isXml(plist)).toBe(true);
      expect(parsePlist(plist)).toMatchObject({
        ProgramArguments: [service.program, ...service.args],
        EnvironmentVariables: service.env,
        UserName: service.user,
        WorkingDirectory: service.workingDirectory,
      });
      for (const line of directLines(route.direct, macs[0]!.ports.direct)) {
        const daemon = directDaemon(paths, line);
        expect(isXml(daemon.plist)).toBe(true);
        expect((parsePlist(daemon.plist) as { ProgramArguments: string[] }).ProgramArguments.at(-2)).toBe(
          `${line.listen}:127.0.0.1:${line.relayPort}`,
        );
        // One option a line, each value one word: nothing of a value begins an option of its own.
        const config = sshConfigText(paths, line).split("\n");
        expect(config).toHaveLength(
          sshConfigText(paths, directLines(parseStackConfig(FULL).route.direct, 8793)[0]!).split("\n").length,
        );
        expect(config).toContain(`  HostName ${line.host}`);
        expect(config).toContain(`  User ${line.user}`);
        expect(knownHostsText(line).split(/\s+/)).toHaveLength(4);
      }
      for (const { host, user, jump } of macs) {
        for (const word of [host, user, jump?.host, jump?.user]) expect(word).toMatch(/^[A-Za-z0-9_][\w.:@-]*$/);
      }
      expect(JSON.parse(JSON.stringify(found))).toEqual(JSON.parse(JSON.stringify(found)));
    });

  it.each([
    [["model", "service", "program"]],
    [["model", "service", "args", 0]],
    [["model", "service", "env", "A"]],
    [["model", "service", "user"]],
    [["model", "service", "workingDirectory"]],
    [["route", "direct", 0, "host"]],
    [["route", "direct", 0, "user"]],
    [["route", "direct", 0, "hostKey"]],
    [["route", "direct", 0, "listen"]],
    [["macs", 0, "host"]],
    [["macs", 0, "user"]],
    [["macs", 0, "jump", "host"]],
    [["macs", 0, "jump", "user"]],
  ] satisfies [Path][])("%j", (path) => {
    fc.assert(placed(path), { ...RUNS, numRuns: 150 });
  });
});
