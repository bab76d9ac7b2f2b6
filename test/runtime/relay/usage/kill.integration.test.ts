/**
 * A relay as a process of its own, killed with SIGKILL under a random load: what its ledger has agrees to the token with what
 * clients saw up to 5 s before, and nothing is counted twice.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { expect, it } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { freePorts, runRelay } from "../child.ts";
import { asServer, jwks, startModel, TEAM, temporaryFolder, testConfig } from "../harness.ts";
import { random } from "./rows.ts";

/** What a power cut or a kill may lose. */
const LOST_MS = 5000;
const COMPANIES = ["국민", "삼성", "LG"];

interface Seen {
  /** When the client had the whole answer, in ms since 1970. */
  readonly at: number;
  /** Which relay answered. */
  readonly run: number;
  readonly company: string;
  readonly tokensIn: number;
  readonly tokensOut: number;
}

/** As much of it as a row has. */
type Row = Omit<Seen, "at" | "run">;

it.each([1, 2])("sums agree over a random load with kills (seed %i)", { timeout: 180_000 }, async (seed) => {
  const next = random(seed);
  const int = (below: number) => Math.floor(next() * below);
  // Each answer has tokens of its own, so that a row stands for one request.
  let prompts = 0;
  const model = await startModel((_seen, res) => {
    prompts += 1;
    const usage = { prompt_tokens: 1000 + prompts, completion_tokens: 1 + int(500) };
    setTimeout(() => {
      res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ choices: [], usage }));
    }, int(60));
  });
  const folder = await temporaryFolder();
  const dataDir = join(folder, "data");
  await mkdir(dataDir, { mode: 0o700 });
  const keysUrl = `https://${TEAM}/cdn-cgi/access/certs`;
  await writeFile(join(dataDir, "jwks.json"), JSON.stringify({ url: keysUrl, uat: Date.now(), jwks }));
  const seen: Seen[] = [];
  const kills: number[] = [];
  const ask = async (run: number, url: string, alive: () => boolean): Promise<void> => {
    while (alive()) {
      const company = COMPANIES[int(COMPANIES.length)]!;
      try {
        const response = await fetch(`${url}/v1/chat/completions`, {
          method: "POST",
          headers: { ...asServer, "Content-Type": "application/json", "Slm-Company": encodeURIComponent(company) },
          body: JSON.stringify({ model: "qwen", messages: [] }),
        });
        const { usage } = (await response.json()) as { usage: { prompt_tokens: number; completion_tokens: number } };
        seen.push({ at: Date.now(), run, company, tokensIn: usage.prompt_tokens, tokensOut: usage.completion_tokens });
      } catch {
        // killed meanwhile
      }
      await wait(int(30));
    }
  };
  for (let run = 0; run < 2; run += 1) {
    const ports = await freePorts();
    const limits = limitsSchema.parse({ chat: 8, companies: { default: { tokensPerMonth: 1_000_000_000 } } });
    const relay = await runRelay(folder, { ...testConfig(model.url, dataDir, { limits }), ...ports });
    await relay.line(({ msg }) => msg === "listening");
    let alive = true;
    const clients = Array.from({ length: 6 }, () => ask(run, `http://127.0.0.1:${ports.port}`, () => alive));
    await wait(LOST_MS + 1500 + int(2000));
    kills.push(Date.now());
    relay.child.kill("SIGKILL");
    await relay.exit;
    alive = false;
    await Promise.all(clients);
  }
  const db = new DatabaseSync(join(dataDir, "usage.db"), { readOnly: true });
  const rows = db
    .prepare("SELECT company, tokens_in AS tokensIn, tokens_out AS tokensOut FROM rows WHERE status = 200")
    .all() as unknown as Row[];
  const days = db
    .prepare("SELECT sum(calls) AS calls, sum(tokens_in) AS tokensIn FROM rollups WHERE step = 'day'")
    .get();
  const all = db.prepare("SELECT count(*) AS calls, sum(tokens_in) AS tokensIn FROM rows").get();
  db.close();
  expect({ ...days }).toEqual({ ...all });

  const keyOf = ({ company, tokensIn, tokensOut }: Row) => `${company} ${tokensIn} ${tokensOut}`;
  const recorded = new Set(rows.map(keyOf));
  expect(recorded.size, "a row was stored twice").toBe(rows.length);
  const old = seen.filter(({ at, run }) => at < kills[run]! - LOST_MS);
  expect(old.length).toBeGreaterThan(50);
  expect(old.filter((one) => !recorded.has(keyOf(one)))).toEqual([]);
  // What clients saw, and at most what was being answered at the kills.
  const known = new Set(seen.map(keyOf));
  expect(rows.filter((one) => !known.has(keyOf(one))).length).toBeLessThanOrEqual(6 * kills.length);
  for (const company of COMPANIES) {
    const sum = (of: readonly Row[]) =>
      of.filter((one) => one.company === company).reduce((total, { tokensOut }) => total + tokensOut, 0);
    expect(sum(rows)).toBeGreaterThanOrEqual(sum(old));
  }
});
