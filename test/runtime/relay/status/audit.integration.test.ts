import { appendFile, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openAudit } from "../../../../runtime/relay/status/audit.ts";
import type { AuditPart } from "../../../../runtime/relay/status/page-data.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { temporaryFolder } from "../harness.ts";

const log = createLog({ write: () => {} });
const entry = (at: number, more: Partial<AuditPart> = {}): AuditPart => ({
  at,
  who: "kim@example.com",
  action: "cancel_job",
  job: "job_1",
  caller: "backend",
  company: null,
  outcome: "done",
  reason: null,
  ...more,
});

test("acts survive a restart, newest first; a torn line is skipped and does not take the next one with it", async () => {
  const folder = await temporaryFolder();
  expect((await openAudit(folder, log)).latest).toEqual([]);
  const audit = await openAudit(folder, log);
  await Promise.all([audit.append(entry(1)), audit.append(entry(2, { who: 'a"\n{}' }))]);
  expect(audit.latest.map(({ at }) => at)).toEqual([2, 1]);
  await appendFile(join(folder, "audit.jsonl"), '{"at":3,"who":"ki');
  const again = await openAudit(folder, log);
  expect(again.latest.map(({ at }) => at)).toEqual([2, 1]);
  await again.append(entry(4));
  expect((await openAudit(folder, log)).latest.map(({ at }) => at)).toEqual([4, 2, 1]);
});

test("its size is bounded: the file before is kept, and both are read", async () => {
  const folder = await temporaryFolder();
  const line = `${JSON.stringify(entry(1))}\n`;
  await writeFile(join(folder, "audit.jsonl"), line.repeat(Math.ceil(2 ** 20 / line.length)));
  const audit = await openAudit(folder, log);
  await audit.append(entry(2));
  expect((await stat(join(folder, "audit.jsonl"))).size).toBeLessThan(1000);
  expect((await readFile(join(folder, "audit.1.jsonl"), "utf8")).startsWith(line)).toBe(true);
  expect((await openAudit(folder, log)).latest).toHaveLength(20);
});

test("an act that cannot be written is reported, and later ones are written again", async () => {
  const folder = await temporaryFolder();
  const audit = await openAudit(join(folder, "missing"), log);
  await expect(audit.append(entry(1))).rejects.toThrow();
  expect(audit.latest).toEqual([]);
});
