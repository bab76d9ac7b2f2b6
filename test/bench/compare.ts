/**
 * `npm run bench:compare -- --other FOLDER [--rounds 9] [--seconds 3]`: the relay of this checkout beside that of another one,
 * rounds interleaved, each round beginning with the other one. Prints CPU per request and per streamed event of both, and
 * the median of the rounds' ratios.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import * as tar from "tar";
import { createAccess } from "./access.ts";
import { requests, streams, type Values } from "./measures.ts";
import { median } from "./process.ts";
import { startNode, startRelay, type Target } from "./targets.ts";

const { values: options } = parseArgs({
  options: {
    other: { type: "string" },
    rounds: { type: "string", default: "9" },
    seconds: { type: "string", default: "3" },
  },
});
if (options.other === undefined) throw new Error("give the other checkout: --other FOLDER");
const [rounds, seconds] = [Number(options.rounds), Number(options.seconds)];
const project = join(import.meta.dirname, "../..");

type Build = typeof import("../../runtime/build.ts");

/** The relay's program of a checkout. */
async function build(checkout: string, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { buildRelease } = (await import(pathToFileURL(join(checkout, "runtime/build.ts")).href)) as Build;
  const { path } = await buildRelease(folder);
  await tar.extract({ file: path, cwd: folder });
  return join(folder, "relay.mjs");
}

const folder = await mkdtemp(join(tmpdir(), "slm-compare-"));
const running: Target[] = [];
try {
  const access = createAccess(6000);
  const plan = { token: () => access.token(), seconds };
  const model = await startNode("model", "model.ts");
  running.push(model);
  const relays: Target[] = [];
  for (const [name, checkout] of [
    ["this", project],
    ["other", resolve(options.other)],
  ] as const) {
    const own = join(folder, name);
    const relay = await startRelay(own, await build(checkout, own), model.url, access);
    relays.push({ ...relay, name });
    running.push(relay);
  }
  for (const relay of relays) await requests(relay, { ...plan, seconds: 5 });
  const measured: Record<string, Values[]> = { this: [], other: [] };
  for (let round = 0; round < rounds; round += 1) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    for (let turn = 0; turn < relays.length; turn += 1) {
      const relay = relays[(round + turn) % relays.length]!;
      measured[relay.name]!.push({ ...(await requests(relay, plan)), ...(await streams(relay, plan)) });
    }
  }
  const of = (name: string, value: string) => measured[name]!.map((values) => values[value]!);
  const perRequest = (name: string) => of(name, "requests/CPU s").map((each) => 1e6 / each);
  const perEvent = (name: string) => of(name, "CPU s/million events");
  for (const [what, get] of [
    ["CPU per request, us", perRequest],
    ["CPU per streamed event, us", perEvent],
  ] as const) {
    const [own, others] = [get("this"), get("other")];
    const ratios = own.map((value, at) => value / others[at]!);
    const shown = (values: readonly number[]) =>
      `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`;
    console.log(`${what}: this ${shown(own)}, other ${shown(others)}, ratio ${shown(ratios)}`);
  }
} finally {
  await Promise.all(running.map((target) => target.stop()));
  await rm(folder, { recursive: true, force: true });
}
