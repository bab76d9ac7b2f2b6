/**
 * `npm run bench -- [--quick] [--json] [--peers [--svg FILE]]`: the relay beside its neighbours, all in one run, rounds interleaved, so that what else
 * the machine does hits all alike. Take the ratios. Each request carries its own token, and the relay checks it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildRelay } from "../built-relay.ts";
import { createAccess } from "./access.ts";
import { firstToken, requests, streams, type Values, waitingMemory } from "./measures.ts";
import { neighbours } from "./neighbours.ts";
import { median } from "./process.ts";
import { goalsOf, table } from "./report.ts";
import { startNginx, startNode, startRelay, type Target } from "./targets.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    peers: { type: "boolean", default: false },
    svg: { type: "string" },
  },
});
if (options.peers) {
  const { benchPeers } = await import("./peers/main.ts");
  await benchPeers(options);
  process.exit();
}
const rounds = options.quick ? 3 : 7;
const seconds = options.quick ? 2.5 : 8;
/** Until the compiler has done its work: it is the steady state that is measured. */
const WARM_SECONDS = 5;
const note = (text: string) => process.stderr.write(`${text}\n`);

const folder = await mkdtemp(join(tmpdir(), "slm-bench-"));
const running: Target[] = [];
const keep = (target: Target): Target => {
  running.push(target);
  return target;
};
const results = new Map<string, Values[]>();
let memory: Values = {};
try {
  const access = createAccess(options.quick ? 6000 : 20_000);
  const token = () => access.token();
  const program = await buildRelay(folder);
  const model = keep(await startNode("direct", "model.ts"));
  const single = keep(await startRelay(folder, program, model.url, access, 1));
  memory = await waitingMemory(single, token);
  await single.stop();
  const nginx = await startNginx(folder, model.url);
  if (nginx === undefined) note("nginx is not installed (Debian: apt-get install nginx-light): it is left out.");
  else keep(nginx);
  keep(await startNode("bare node proxy", "bare-proxy.ts", model.url));
  const { jwks, audience } = access;
  const accessText = JSON.stringify({ jwks, audience, issuer: `https://${access.teamDomain}` });
  keep(await startNode("libraries alone", "libraries-proxy.ts", model.url, accessText, join(folder, "libraries.log")));
  const relay = keep(await startRelay(folder, program, model.url, access));
  const targets = running.filter((target) => target !== single);
  note("warming up");
  for (const target of targets) await requests(target, { token, seconds: WARM_SECONDS });
  for (let round = 0; round < rounds; round += 1) {
    note(`round ${round + 1} of ${rounds}`);
    for (const measure of [requests, streams, firstToken]) {
      // Each round begins with another one.
      for (const [at] of targets.entries()) {
        const target = targets[(at + round) % targets.length]!;
        const measured = await measure(target, { token, seconds });
        results.set(target.name, [...(results.get(target.name) ?? []), measured]);
      }
    }
  }
  note("one caller with the longest bodies beside another");
  memory = { ...memory, ...(await neighbours(relay, { token, loudToken: access.loud.token, seconds })) };
} finally {
  await Promise.all(running.map((target) => target.stop()));
  await rm(folder, { recursive: true, force: true });
}

const summary = Object.fromEntries(
  [...results].map(([name, measured]) => {
    const names = [...new Set(measured.flatMap((values) => Object.keys(values)))];
    const entries = names.map((value) => {
      const all = measured.map((values) => values[value]).filter((one) => one !== undefined);
      return [value, { median: median(all), least: Math.min(...all), most: Math.max(...all) }] as const;
    });
    return [name, Object.fromEntries(entries)];
  }),
);
const goals = goalsOf(summary, memory);
if (options.json) console.log(JSON.stringify({ rounds, seconds, summary, memory, goals }, undefined, 2));
else console.log(table(summary, memory, goals));
