import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { readServer, writeServer } from "../../../commands/rotate/stack-file.ts";
import { checkWritten } from "../../../commands/rotate/validate.ts";

const change = { secretVersion: 2, previousSecretExpiresAt: "2026-12-01T00:00:00Z" };

/** The lines that differ, with - and +. */
function difference(before: string, after: string): string[] {
  const [old, now] = [before.split("\n"), after.split("\n")];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `-${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+${line}`),
  ];
}

describe("a rotation in the stack file", () => {
  it("changes two lines of the committed production stack, and no comment", () => {
    const text = readFileSync(join(import.meta.dirname, "../../../Pulumi.prod.yaml"), "utf8");
    const after = writeServer(text, "backend", change);
    expect(difference(text, after)).toEqual([
      "-        secretVersion: 1",
      "+        secretVersion: 2",
      '+        previousSecretExpiresAt: "2026-12-01T00:00:00Z"',
    ]);
    // The second time both lines are there.
    const again = { secretVersion: 3, previousSecretExpiresAt: "2027-01-01T00:00:00Z" };
    expect(difference(after, writeServer(after, "backend", again))).toEqual([
      "-        secretVersion: 2",
      '-        previousSecretExpiresAt: "2026-12-01T00:00:00Z"',
      "+        secretVersion: 3",
      '+        previousSecretExpiresAt: "2027-01-01T00:00:00Z"',
    ]);
  });

  const around = (servers: string) =>
    `# head\nencryptionsalt: v1:abc=\nconfig:\n  slm-network:access:\n    servers:\n${servers}    people: {}\n`;
  it.each([
    ["without a version", "      - name: backend # ours\n      - name: other\n"],
    [
      "with a list below it",
      "      - name: backend\n        companies:\n          - a\n          - b\n      - name: other\n",
    ],
    ["on one line", "      - { name: backend, companies: ['*'] } # ours\n      - { name: other }\n"],
    ["as JSON", '      - {"name":"backend","secretVersion":1}\n      - {"name":"other"}\n'],
    ["with Windows line ends", "      - name: backend\r\n        weight: 2\r\n      - name: other\r\n"],
    [
      "after another server",
      "      - name: other\n        secretVersion: 7\n      -   name: backend\n          enabled: true\n",
    ],
  ])("is written into an entry %s, and nothing else changes", (_what, servers) => {
    const text = around(servers);
    const after = writeServer(text, "backend", change);
    expect(readServer(after, "backend")).toMatchObject(change);
    type Stack = { config: { "slm-network:access": { servers: { name: string }[] } } };
    const expected = parse(text) as Stack;
    Object.assign(expected.config["slm-network:access"].servers.find(({ name }) => name === "backend")!, change);
    expect(parse(after)).toEqual(expected);
    // Every character that was there is there still, in its order.
    let at = 0;
    for (const char of text.replace(/("secretVersion":)1/, "$1")) {
      at = after.indexOf(char, at) + 1;
      expect(at).toBeGreaterThan(0);
    }
  });

  it("is written to a scraper of the metrics as to a server, and checked", () => {
    const text = `${around("      - name: backend\n")}  slm-network:metrics:\n    scrapers:\n      - name: prometheus # ours\n`;
    expect(readServer(text, "prometheus")).toEqual({});
    const after = writeServer(text, "prometheus", change);
    expect(difference(text, after)).toEqual([
      "+        secretVersion: 2",
      '+        previousSecretExpiresAt: "2026-12-01T00:00:00Z"',
    ]);
    expect(after.indexOf("secretVersion")).toBeGreaterThan(after.indexOf("prometheus"));
    expect(() => checkWritten(after, "prometheus", change)).not.toThrow();
    const wrong = { secretVersion: 0 };
    expect(() => checkWritten(writeServer(text, "prometheus", wrong), "prometheus", wrong)).toThrow(/secretVersion/);
    expect(() => readServer(text, "grafana")).toThrow(/it has backend, prometheus/);
  });

  it("reads an unquoted time as text", () => {
    const text = around(
      "      - name: backend\n        secretVersion: 2\n        previousSecretExpiresAt: 2026-11-01T00:00:00Z\n",
    );
    expect(readServer(text, "backend").previousSecretExpiresAt).toBe("2026-11-01T00:00:00Z");
  });

  it.each([
    ["an unknown server", around("      - name: other\n"), /no server "backend"; it has other/],
    ["no servers", "config:\n  slm-network:hostname: a\n", /no list config → slm-network:access → servers/],
    ["text that is not YAML", "config: [", /is not valid YAML/],
    [
      "an alias",
      "config:\n  a: &one { name: backend }\n  slm-network:access:\n    servers:\n      - *one\n",
      /no server "backend"/,
    ],
  ])("is refused for %s", (_what, text, reason) => {
    expect(() => writeServer(text, "backend", change)).toThrow(reason);
  });
});
