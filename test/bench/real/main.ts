/**
 * `npm run bench:real -- [--capacity llama-server:1,llama-server:2,ollama:2] [--auto llama-server:2|emulator:2-4] [--seconds N]
 * [--json]`: what needs minutes of load on a real model server, and so is no test. `--capacity` measures each server twice in
 * a row; `--auto` shows the trace of `limits.chat: auto` and its throughput beside every fixed number (on the emulator the
 * number of slots changes from the first to the second meanwhile). Ratios of one run; both put full load on this machine.
 */
import { parseArgs } from "node:util";
import { startRealModel } from "../../../sandbox/model/real.ts";
import { startModelServer } from "../../../sandbox/model/server.ts";
import type { RealServer } from "../../../sandbox/tools/real/ensure.ts";
import { type AutoPlan, measureAuto } from "./auto.ts";
import { measureTwice, type Wanted } from "./capacity.ts";

const { values: options } = parseArgs({
  options: {
    capacity: { type: "string" },
    auto: { type: "string" },
    seconds: { type: "string" },
    climb: { type: "string", default: "150" },
    rounds: { type: "string", default: "4" },
    json: { type: "boolean", default: false },
  },
});
const note = (text: string) => process.stderr.write(`${text}\n`);
const seconds = Number(options.seconds ?? 5);

function serverOf(text: string): Wanted {
  const [kind, slots] = text.split(":");
  if ((kind === "llama-server" || kind === "ollama") && /^[1-9]\d?$/.test(slots ?? ""))
    return { kind: kind satisfies RealServer, slots: Number(slots) };
  throw new Error(`${JSON.stringify(text)} is not a real model server: write llama-server:2 or ollama:2`);
}

if (options.capacity === undefined && options.auto === undefined) throw new Error("give --capacity or --auto");
if (options.capacity !== undefined) {
  const lengths = ["--answers", "24", "--prompt", "60", "--most", "8", "--minutes", "4"];
  const all = [];
  for (const one of options.capacity.split(",").map(serverOf))
    all.push(await measureTwice(one, [...lengths, "--seconds", String(seconds)], note));
  if (options.json) console.log(JSON.stringify(all, null, 2));
  else
    console.table(
      all.flatMap(({ kind, slots, runs, differs }) =>
        runs.map((run, i) => ({ server: kind, slots, run: i + 1, ...run, "differs, %": Math.round(differs * 100) })),
      ),
    );
}
if (options.auto !== undefined) {
  const shared = {
    callers: 8,
    rounds: Number(options.rounds),
    seconds: Math.max(seconds, 12),
    climbSeconds: Number(options.climb),
    log: note,
  };
  const result = await (options.auto.startsWith("emulator:") ? onEmulator(options.auto) : onReal(options.auto));
  if (options.json) console.log(JSON.stringify(result, null, 2));
  else {
    console.table(result.trace);
    console.table(Object.entries(result.fixed).map(([n, rate]) => ({ fixed: n, "tokens/s": rate })));
    console.log(
      `auto: ${result.auto.toFixed(1)} tokens/s at ${result.slots.join(", ")}; the best fixed number is ${result.bestFixed}; auto has ${result.ratio.toFixed(2)} of it`,
    );
  }

  async function onReal(text: string) {
    const wanted = serverOf(text);
    const server = await startRealModel({ ...wanted, log: note });
    try {
      const plan: AutoPlan = {
        ...shared,
        model: { url: server.url, name: server.model },
        bounds: { min: 1, max: wanted.slots + 2 },
        promptTokens: 60,
        answerTokens: 24,
      };
      return await measureAuto(plan);
    } finally {
      await server.close();
    }
  }

  async function onEmulator(text: string) {
    const [, first, then] = /^emulator:(\d+)-(\d+)$/.exec(text) ?? [];
    if (first === undefined || then === undefined) throw new Error(`--auto is ${text}: write emulator:2-4`);
    const server = await startModelServer({
      port: 0,
      log: () => {},
      slots: Number(first),
      tokensPerSecond: 40,
      firstTokenMs: 60,
    });
    try {
      return await measureAuto({
        ...shared,
        model: { url: server.url, name: "slm-ko" },
        bounds: { min: 1, max: Math.max(Number(first), Number(then)) + 2 },
        promptTokens: 60,
        answerTokens: 40,
        change: () => server.resize(Number(then)),
      });
    } finally {
      await server.close();
    }
  }
}
