import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { createOutageMetrics, openOutages } from "../../../../runtime/relay/status/outages.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { temporaryFolder } from "../harness.ts";

const log = createLog({ write: () => {} });

test("the boot id tells whether the machine or the relay ended; jobs are added to the newest outage; fifty are kept", async () => {
  const dataDir = await temporaryFolder();
  let now = Date.parse("2027-03-01T00:00:00Z");
  const open = (boot: string) =>
    openOutages({ dataDir, boot, log, running: () => 3, everyMs: 3600_000, now: () => now });
  const first = await open("boot-1");
  expect([first.uncleanShutdown, first.list]).toEqual([false, []]);
  now += 90_000;
  const second = await open("boot-2"); // the first was never closed
  await second.noteRecoveredJobs({ again: ["a"], failed: ["b"] });
  expect(second.uncleanShutdown).toBe(true);
  expect(second.list).toMatchObject([
    {
      what: "machine",
      seconds: 90,
      requestsCut: 3,
      from: "2027-03-01T00:00:00.000Z",
      to: "2027-03-01T00:01:30.000Z",
      jobsRunAgain: ["job_a"],
      jobsFailed: ["job_b"],
    },
  ]);
  const registry = new Registry();
  createOutageMetrics(registry, second);
  const metrics = await registry.metrics();
  expect(metrics).toContain('slm_outages{what="machine"} 1');
  expect(metrics).toContain("slm_last_outage_seconds 90");
  await second.close();
  const third = await open("boot-3");
  expect([third.uncleanShutdown, third.list.length]).toEqual([false, 1]); // a stop and a start are no outage
  for (let i = 0; i < 60; i++) await open(`boot-${4 + i}`);
  expect((await open("last")).list).toHaveLength(50);
});

test("damaged files are replaced, and the relay starts", async () => {
  const dataDir = await temporaryFolder();
  await writeFile(join(dataDir, "heartbeat.json"), '{"boot":');
  await writeFile(join(dataDir, "outages.json"), "");
  const outages = await openOutages({ dataDir, boot: "b", log, running: () => 0 });
  expect([outages.uncleanShutdown, outages.list]).toEqual([false, []]);
  await outages.close();
});
