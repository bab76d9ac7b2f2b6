import { createServer, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { CHAT_MODEL } from "../../../../sandbox/model/models.ts";
import { Harness } from "../../../sandbox/edge/harness.ts";
import { portOf } from "../harness.ts";
import { installRelay, startModelProcess } from "./bundled.ts";
import { inspect, Ledger } from "./inspect.ts";
import { createLoad } from "./load.ts";
import { rounds, seeded } from "./seed.ts";

let edges: Harness;
beforeEach(() => {
  edges = new Harness();
});
afterEach(() => edges.stop());

test("kill -9 of cloudflared at random moments: every job acknowledged through it exists once", async () => {
  const random = seeded("kill cloudflared");
  const model = await startModelProcess();
  const installation = await installRelay(model.url);
  const relay = await installation.start();
  // The edge removes foreign tokens, so each caller's is added behind it, by the caller's name.
  const tokens = new Map(installation.callers.map(({ name, headers }) => [name, headers]));
  const behind = createServer((req, res) => {
    const headers = { ...req.headers, ...tokens.get(String(req.headers["x-drill-caller"])) };
    const on = request(installation.url + req.url, { method: req.method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    on.on("error", () => res.destroy());
    res.on("close", () => on.destroy());
    req.pipe(on);
  });
  await new Promise<void>((resolve) => behind.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    behind.closeAllConnections();
    behind.close();
  });
  const hostname = "slm.example.com";
  const service = `http://127.0.0.1:${portOf(behind)}`;
  const tunnel = edges.account.declareTunnel(hostname, [{ hostname, service }, { service: "http_status:404" }]);
  const edge = await edges.edge();
  const throughEdge = {
    url: edge.url,
    callers: installation.callers.map(({ name }) => ({ name, headers: { "X-Drill-Caller": name } })),
  };
  // 530: no connector at the moment.
  const load = createLoad(throughEdge, random, CHAT_MODEL, [502, 530]);
  const kills = Math.ceil(rounds(50) / 10);
  for (let kill = 0; kill < kills; kill += 1) {
    const connector = edges.cloudflared(edge, edges.account.connectorToken(tunnel));
    await edge.routed(tunnel);
    const stop = new AbortController();
    const running = load.run(stop.signal);
    await sleep(random.between(300, 1500));
    connector.process.kill("SIGKILL");
    await connector.ended;
    stop.abort();
    await running;
  }
  expect(load.wrong).toEqual([]);
  const states: Record<string, number> = {};
  for (const { id, caller } of load.acknowledged.values()) {
    const headers = { ...tokens.get(caller.name), Prefer: "wait=60" };
    const response = await fetch(`${installation.url}/v1/jobs/job_${id}`, { headers });
    const { state } = (await response.json()) as { state: string };
    states[state] = (states[state] ?? 0) + 1;
  }
  expect(Object.keys(states)).toEqual(["completed"]);
  relay.child.kill("SIGKILL");
  await relay.exit;
  expect(new Ledger().compare(await inspect(installation.dataDir), load.acknowledged.keys())).toEqual([]);
  const numbers = { kills, acknowledged: load.acknowledged.size, unanswered: load.lost };
  console.log("kill cloudflared:", JSON.stringify({ ...numbers, ended: states }));
}, 600_000);
