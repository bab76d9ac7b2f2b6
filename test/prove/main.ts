/**
 * `npm run prove -- [--quick] [--minutes N] [--seconds N] [--only NAME[+NAME]]… [--pairs N] [--tokens N] [--malformed N]
 * [--seed N] [--json]`:
 * attackers with one valid token against a quiet caller that asks once a second, over edge, cloudflared, relay, model server
 * and stores; and faults under a mixed load, with what was acknowledged checked afterwards. One table; the exit code is 1 when
 * anything does not hold. What each case does: `cases/`, `faults/cases/`. How it is judged: `measure/bound.ts`,
 * `faults/run.ts`. `--soak N` instead: N minutes of mixed load with faults strewn in (`faults/soak.ts`).
 */
import { parseArgs } from "node:util";
import { ensureTools } from "../../sandbox/tools/tools.ts";
import { compareVerifiers } from "../runtime/relay/access/mutated-tokens.ts";
import { randomOf } from "../runtime/relay/drills/seed.ts";
import type { Case } from "./case.ts";
import { CASES, caseNamed, randomPairs } from "./cases.ts";
import { endEverythingAtExit } from "./ending.ts";
import type { FaultCase } from "./faults/fault.ts";
import { FAULTS } from "./faults/faults.ts";
import type { FaultVerdict } from "./faults/run.ts";
import { soak } from "./faults/soak.ts";
import {
  attackSecondsOf,
  faultNamed,
  faultSecondsOf,
  LEAST_ATTACK_SECONDS,
  MINUTES,
  QUICK_FAULTS,
  RANDOM_PAIRS,
  REST_SECONDS,
  runFaults,
  some,
} from "./faults/suite.ts";
import { shown } from "./malformed/memory.ts";
import { malformedHolds } from "./malformed/suite.ts";
import type { Verdict } from "./measure/bound.ts";
import { startNetwork } from "./measure/network.ts";
import { seeded } from "./measure/random.ts";
import { measureRest, runCase } from "./measure/run.ts";
import { curve, table } from "./report.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    minutes: { type: "string" },
    seconds: { type: "string" },
    pairs: { type: "string" },
    tokens: { type: "string" },
    malformed: { type: "string" },
    seed: { type: "string" },
    soak: { type: "string" },
    only: { type: "string", multiple: true },
    /** The former name of `--only`. */
    case: { type: "string", multiple: true },
  },
});
const note = (text: string) => process.stderr.write(`${text}\n`);

/** Names given by `--only`. */
const named = options.only ?? options.case;

function wholeNumber(
  name: "minutes" | "seconds" | "pairs" | "seed" | "tokens" | "malformed" | "soak",
  byDefault: number,
  least: number,
): number {
  const text = options[name];
  const value = text === undefined ? byDefault : Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name} is ${JSON.stringify(text)}: give a whole number from ${least}`);
}

function chosenAttacks(seed: number): (readonly Case[])[] {
  if (named !== undefined) {
    const attacks = named.filter((name) => faultNamed(name) === undefined);
    return attacks.map((names) => names.split("+").map(attackNamed));
  }
  const single = CASES.filter(({ quick }) => !options.quick || quick === true).map((one) => [one]);
  return [...single, ...randomPairs(wholeNumber("pairs", options.quick ? 0 : RANDOM_PAIRS, 0), seeded(seed))];
}

/** @throws when there is none, with the names of both kinds */
function attackNamed(name: string): Case {
  try {
    return caseNamed(name);
  } catch (cause) {
    const names = FAULTS.map((one) => one.name).join(", ");
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}; faults: ${names}`, { cause });
  }
}

function chosenFaults(seed: number): FaultCase[] {
  if (named !== undefined) return named.flatMap((name) => faultNamed(name) ?? []);
  if (!options.quick) return [...FAULTS];
  return some(
    QUICK_FAULTS,
    seed,
    FAULTS.filter(({ quick }) => quick),
  );
}

/** Compares the relay's token verifier with jose. @returns whether both agree on every token */
async function tokensAgree(count: number, seed: number): Promise<boolean> {
  const { accepted, refused, differences } = await compareVerifiers(count, randomOf(seed));
  note(`${count} mutated tokens: ${accepted} accepted, ${refused} refused, ${differences.length} unlike jose`);
  for (const difference of differences.slice(0, 10)) note(difference);
  return differences.length === 0;
}

/** Sends malformed requests to a relay of its own. @returns whether it came through */
async function survivesMalformed(count: number, seed: number): Promise<boolean> {
  const { failures, memory, worstMs } = await malformedHolds(count, seed, note);
  note(
    `worst ${Math.round(worstMs)} ms; held ${shown(memory.heldMiB)} MiB; resident ${shown([memory.restMiB, ...memory.residentMiB])} MiB: ${failures.length === 0 ? "holds" : "FAILS"}`,
  );
  for (const failure of failures) note(failure);
  return failures.length === 0;
}

/** Runs the attacks. @returns their verdicts, and the names of those that no time was left for */
async function attacks(runs: readonly (readonly Case[])[], seconds: number, seed: number, deadline: number) {
  const network = await startNetwork();
  const verdicts: Verdict[] = [];
  const left: string[] = [];
  try {
    const rest = await measureRest(network, REST_SECONDS);
    note(`at rest: p99 of the wait ${rest.p99Ms.toFixed(0)} ms, the relay's memory ${rest.memoryMiB.toFixed(0)} MiB`);
    for (const cases of runs) {
      const name = cases.map((one) => one.name).join(" + ");
      if (performance.now() > deadline) {
        left.push(name);
        continue;
      }
      const verdict = await runCase(network, cases, { seconds, seed }, rest);
      note(`${name}: ${verdict.failures.length === 0 ? "holds" : verdict.failures.join("; ")}`);
      verdicts.push(verdict);
    }
  } finally {
    await network.stop();
  }
  return { verdicts, left };
}

async function soaked(minutes: number, seed: number): Promise<void> {
  note(`seed ${seed}; ${minutes} minutes of mixed traffic with faults`);
  const report = await soak(minutes, seed, note);
  if (options.json) console.log(JSON.stringify(report, undefined, 2));
  else console.log(curve(report));
  if (report.failures.length > 0) process.exitCode = 1;
}

async function main(): Promise<void> {
  const seed = wholeNumber("seed", Math.floor(Math.random() * 1_000_000), 0);
  process.env.CLOUDFLARED_BIN = (await ensureTools(note)).cloudflared;
  if (options.soak !== undefined) return soaked(wholeNumber("soak", 30, 1), seed);
  const tokens = wholeNumber("tokens", named === undefined ? (options.quick ? 4000 : 100_000) : 0, 0);
  const malformed = wholeNumber("malformed", named === undefined ? (options.quick ? 3000 : 100_000) : 0, 0);
  const minutes = wholeNumber("minutes", options.quick ? MINUTES.quick : MINUTES.all, 1);
  const runs = chosenAttacks(seed);
  const faults = chosenFaults(seed);
  const faultSeconds = faultSecondsOf(faults.length);
  const fitting = attackSecondsOf(minutes, runs.length, faults.length);
  const seconds = options.seconds === undefined ? fitting : wholeNumber("seconds", 0, LEAST_ATTACK_SECONDS);
  if (runs.length > 0 && seconds < LEAST_ATTACK_SECONDS) {
    throw new Error(
      `${minutes} minutes are too few for ${runs.length + faults.length} cases: raise --minutes or name some by --only`,
    );
  }
  const began = performance.now();
  const deadline = began + minutes * 60_000;
  note(
    `seed ${seed}; ${runs.length} attacks${runs.length > 0 ? ` of ${seconds.toFixed(0)} s each` : ""}, ${faults.length} faults`,
  );
  if (tokens > 0 && !(await tokensAgree(tokens, seed))) process.exitCode = 1;
  if (malformed > 0 && !(await survivesMalformed(malformed, seed))) process.exitCode = 1;
  const attacked =
    runs.length > 0 ? await attacks(runs, seconds, seed, deadline - faultSeconds * 1000) : { verdicts: [], left: [] };
  const broken: { verdicts: FaultVerdict[]; left: string[] } =
    faults.length > 0 ? await runFaults(faults, { seed, deadline }, note) : { verdicts: [], left: [] };
  const { verdicts } = attacked;
  const left = [...attacked.left, ...broken.left];
  if (options.json)
    console.log(JSON.stringify({ seed, seconds, verdicts, faults: broken.verdicts, left }, undefined, 2));
  else console.log(table(verdicts, broken.verdicts));
  if (left.length > 0) note(`no time was left for: ${left.join(", ")}`);
  const isBroken = [...verdicts, ...broken.verdicts].some(({ failures }) => failures.length > 0);
  if (left.length > 0 || isBroken) process.exitCode = 1;
}

endEverythingAtExit();

try {
  await main();
} catch (cause) {
  note(cause instanceof Error ? cause.message : String(cause));
  process.exitCode = 2;
}
// What a case left open must not keep the run from ending.
process.exit();
