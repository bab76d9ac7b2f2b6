import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { CHAT_MODEL } from "../../../../sandbox/model/models.ts";
import { type Installation, installRelay, startModelProcess } from "./bundled.ts";
import { inspect, Ledger } from "./inspect.ts";
import { type Acknowledged, createLoad } from "./load.ts";
import { rounds, seeded } from "./seed.ts";

interface View {
  readonly state: string;
  readonly attempts: readonly { readonly outcome: string; readonly counted: boolean }[];
}

/** Waits for every job's end and reads its result. @returns how many ended how, and violations of the guarantees */
async function settle({ url }: Installation, jobs: Iterable<Acknowledged>) {
  const states: Record<string, number> = {};
  const faults: string[] = [];
  for (const { id, caller, marker } of jobs) {
    const headers = { ...caller.headers, Prefer: "wait=60" };
    const view = (await (await fetch(`${url}/v1/jobs/job_${id}`, { headers })).json()) as View;
    states[view.state] = (states[view.state] ?? 0) + 1;
    if (view.state === "failed") {
      if (view.attempts.filter(({ counted }) => counted).length !== 3) faults.push(`${id} failed before its time`);
      continue;
    }
    const result = await fetch(`${url}/v1/jobs/job_${id}/result`, { headers });
    const text = await result.text();
    if (view.state !== "completed" || result.status !== 200 || !text.includes(marker)) {
      faults.push(`${id}: ${view.state}, ${result.status}, ${text.slice(0, 200)}`);
    }
  }
  return { states, faults };
}

test("kill -9 of the relay at random moments: no acknowledged job is lost, no answer is committed twice or changes", async () => {
  const random = seeded("kill the relay");
  const model = await startModelProcess();
  const installation = await installRelay(model.url);
  const load = createLoad(installation, random, CHAT_MODEL);
  const ledger = new Ledger();
  const kills = rounds(50);
  const interrupted = { running: 0 };
  for (let kill = 0; kill < kills; kill += 1) {
    const relay = await installation.start();
    const stop = new AbortController();
    const running = load.run(stop.signal);
    await sleep(random.between(5, 450));
    relay.child.kill("SIGKILL");
    await relay.exit;
    stop.abort();
    await running;
    const found = await inspect(installation.dataDir);
    for (const state of found.jobs.values()) if (state === "in_progress") interrupted.running += 1;
    expect(ledger.compare(found, load.acknowledged.keys()), `after kill ${kill + 1}`).toEqual([]);
  }
  const relay = await installation.start();
  const { states, faults } = await settle(installation, load.acknowledged.values());
  expect(faults).toEqual([]);
  expect(load.wrong).toEqual([]);
  relay.child.kill("SIGKILL");
  await relay.exit;
  expect(ledger.compare(await inspect(installation.dataDir), load.acknowledged.keys())).toEqual([]);
  const numbers = { kills, acknowledged: load.acknowledged.size, direct: load.direct, unanswered: load.lost };
  console.log("kill the relay:", JSON.stringify({ ...numbers, runningAtKill: interrupted.running, ended: states }));
  expect(load.acknowledged.size).toBeGreaterThan(kills);
  expect(interrupted.running).toBeGreaterThan(0);
}, 600_000);

test("kill -9 of the model server at random moments: the jobs wait for it and end with their own answers", async () => {
  const random = seeded("kill the model server");
  let model = await startModelProcess();
  const { port } = new URL(model.url);
  const installation = await installRelay(model.url);
  const relay = await installation.start();
  const load = createLoad(installation, random, CHAT_MODEL);
  const kills = Math.ceil(rounds(50) / 5);
  for (let kill = 0; kill < kills; kill += 1) {
    const stop = new AbortController();
    const running = load.run(stop.signal);
    await sleep(random.between(50, 400));
    await model.kill();
    await sleep(random.between(0, 300));
    stop.abort();
    await running;
    model = await startModelProcess(Number(port));
  }
  const { states, faults } = await settle(installation, load.acknowledged.values());
  relay.child.kill("SIGKILL");
  await relay.exit;
  expect(faults).toEqual([]);
  expect(load.wrong).toEqual([]);
  expect(new Ledger().compare(await inspect(installation.dataDir), load.acknowledged.keys())).toEqual([]);
  console.log("kill the model server:", JSON.stringify({ kills, acknowledged: load.acknowledged.size, ended: states }));
}, 600_000);
