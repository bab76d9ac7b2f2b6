/** `npm run usage`: reads a relay's ledger on the Mac itself; its table and CSV agree with what the relay says. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { parse, stringify } from "yaml";
import { readOptions } from "../../../commands/usage/options.ts";
import { csv, table, usageAnswerSchema } from "../../../commands/usage/report.ts";
import { post, startModel, startTestRelay } from "../../runtime/relay/harness.ts";
import { testMac } from "../../sandbox/mac/fixture.ts";

const project = join(import.meta.dirname, "../../..");

function run(args: readonly string[], env: Record<string, string> = {}) {
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
    const child = spawn(process.execPath, [join(project, "commands/usage/main.ts"), ...args], {
      cwd: project,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const ran = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (ran.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (ran.stderr += text));
    child.once("error", reject).once("close", (code) => resolve({ ...ran, code }));
  });
}

describe("the command", () => {
  it("prints what the relay's ledger has, to the token", { timeout: 120_000 }, async () => {
    const usage = { prompt_tokens: 123, completion_tokens: 45, prompt_tokens_details: { cached_tokens: 23 } };
    const model = await startModel((_seen, res) =>
      res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ choices: [], usage })),
    );
    const relay = await startTestRelay(model.url, {
      usage: {
        retentionDays: 400,
        timeZone: "Asia/Seoul",
        maxDiskMiB: 64,
        prices: { currency: "KRW", models: { qwen: { in: 1000, cached: 500, out: "2000.5" } } },
      },
    });
    for (const company of ["국민", "국민", "=cmd"]) {
      const headers = { "Slm-Company": encodeURIComponent(company) };
      expect((await post(relay, "/v1/chat/completions", { model: "qwen" }, { headers })).status).toBe(200);
    }
    await vi.waitFor(async () => {
      const answer = (await (await fetch(`${relay.admin}/usage`)).json()) as { total: { calls: number } | null };
      expect(answer.total?.calls).toBe(3);
    });
    const folder = await mkdtemp(join(tmpdir(), "usage-"));
    const stack = `usage-test-${process.pid}`;
    const file = join(project, `Pulumi.${stack}.yaml`);
    onTestFinished(async () => {
      await rm(folder, { recursive: true, force: true });
      await rm(file, { force: true });
    });
    const example = parse(await readFile(join(project, "Pulumi.prod.yaml"), "utf8")) as {
      config: Record<string, Record<string, unknown>[]>;
    };
    const test = await testMac();
    onTestFinished(() => test.end());
    const { host, port, user, hostKey } = test.mac;
    const ports = { admin: relay.adminPort };
    example.config["slm-network:macs"] = [{ name: "studio", host, port, user, hostKey, ports }];
    await writeFile(file, stringify(example));
    const ask = (...args: string[]) => run(["--here", "--stack", stack, ...args]);

    const json = await ask("--json");
    expect(json, json.stderr).toMatchObject({ code: 0, stderr: "" });
    const answer = usageAnswerSchema.parse(JSON.parse(json.stdout));
    expect(answer.total).toMatchObject({ calls: 3, tokens_in: 369, tokens_cached: 69, tokens_out: 135 });
    // 3 × (100 × 1000 + 23 × 500 + 45 × 2000.5) a million.
    expect(answer.total?.cloud_cost).toBe("0.604568");
    const asCsv = await ask("--csv", "--by", "company,model");
    expect(asCsv.stdout.split("\r\n").slice(0, 3)).toEqual([
      "company,model,calls,errors,refused,tokens_in,tokens_cached,tokens_out,tokens_embedded,embedding_calls,cache_hits,seconds_spared,seconds,cloud_cost,fallback_cost,currency",
      expect.stringMatching(/^'=cmd,qwen,1,0,0,123,23,45,0,0,0,0,[\d.]+,0\.201523,0\.000000,KRW$/),
      expect.stringMatching(/^국민,qwen,2,0,0,246,46,90,/),
    ]);
    const asTable = await ask();
    expect(asTable.stdout).toMatch(/국민 +2 +0 +0 +246 +46 +90/);
    expect(asTable.stdout).toMatch(/^total +3 /m);
    // Over SSH the same, to the byte.
    const month = new Date(Date.now() + 9 * 3_600_000).toISOString().slice(0, 7); // in Seoul
    const overSsh = await run([
      "--stack",
      stack,
      "--key",
      join(test.dir, "id_ed25519"),
      "--month",
      month,
      "--csv",
      "studio",
    ]);
    const here = await ask("--month", month, "--csv");
    expect(overSsh, overSsh.stderr).toEqual(here);
    expect(here.stdout).toContain("국민,2,0,0,246,46,90,");
    const refused = await ask("--by", "server");
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/by: "server" is nothing usage can be summed by/);
    await relay.close();
    const away = await ask();
    expect(away.code).toBe(2);
    expect(away.stderr).toMatch(/no relay answers at http:\/\/127\.0\.0\.1:\d+\/usage/);
  });
});

describe("options", () => {
  it.each([
    [["--month", "2026-11"], "?from=2026-11&to=2026-12&by=company"],
    [["--month", "2026-12", "--by", "day"], "?from=2026-12&to=2027-01&by=day"],
    [["--from", "2026-11-28T09:00:00+09:00", "--by", "none"], "?from=2026-11-28T09%3A00%3A00%2B09%3A00"],
    [[], "?by=company"],
  ])("%j asks for %s", (args, query) => {
    expect(readOptions(args).query).toBe(query);
  });

  it.each([
    [["--csv", "--json"], /choose one/],
    [["--month", "2026-13"], /"2026-13" is not a month/],
    [["--month", "November"], /is not a month/],
    [["--month", "2026-11", "--to", "2026-11-05"], /choose one of them/],
  ])("%j is refused", (args, why) => {
    expect(() => readOptions(args)).toThrow(why);
  });
});

describe("what is printed", () => {
  const sums = {
    calls: 1,
    errors: 0,
    refused: 0,
    tokens_in: 1_234_567,
    tokens_cached: 0,
    tokens_out: 2,
    tokens_embedded: 0,
    embedding_calls: 0,
    cache_hits: 0,
    seconds_spared: 0,
    seconds: 0.5,
  };
  const answer = (data: object[]) =>
    usageAnswerSchema.parse({
      from: "2026-10-31T15:00:00.000Z",
      to: "2026-11-30T15:00:00.000Z",
      time_zone: "Asia/Seoul",
      by: ["company"],
      currency: null,
      data,
      total: data.length === 0 ? null : sums,
    });

  it("is in the ledger's time zone, without control characters of names", () => {
    const text = table(
      answer([
        { ...sums, company: "evil\u001b[31m" },
        { ...sums, company: null },
      ]),
    );
    expect(text).toMatch(/^Usage from 1 Nov 2026, 00:00 until 1 Dec 2026, 00:00 \(Asia\/Seoul\)/);
    expect(text).not.toContain("\u001b");
    expect(text).toContain("(none)");
    expect(text).toContain("1,234,567");
    expect(table(answer([]))).toContain("Nothing was used.");
  });

  it("is CSV that spreadsheets read: quoted, without formulas", () => {
    const lines = csv(
      answer([
        { ...sums, company: 'a "b", c' },
        { ...sums, company: "+1" },
        { ...sums, company: null },
      ]),
    );
    expect(
      lines
        .split("\r\n")
        .slice(1)
        .map((line) => line.split(",1,0,0")[0]),
    ).toEqual(['"a ""b"", c"', "'+1", "", ""]);
  });
});
