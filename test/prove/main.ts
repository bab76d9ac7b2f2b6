/**
 * `npm run prove -- [--quick] [--minutes N] [--seconds N] [--case NAME[+NAME]]… [--pairs N] [--tokens N] [--seed N]
 * [--json]`: attackers with one valid
 * token against a quiet caller that asks once a second, over edge, cloudflared, relay, model server and stores. One table;
 * the exit code is 1 when anything does not hold. What each case does: `cases/`. How it is judged: `measure/bound.ts`.
 */
import { parseArgs } from "node:util";
import { ensureTools } from "../../sandbox/tools/tools.ts";
import { compareVerifiers } from "../runtime/relay/access/mutated-tokens.ts";
import { randomOf } from "../runtime/relay/drills/seed.ts";
import type { Case } from "./case.ts";
import { CASES, caseNamed, randomPairs } from "./cases.ts";
import type { Verdict } from "./measure/bound.ts";
import { startNetwork } from "./measure/network.ts";
import { seeded } from "./measure/random.ts";
import { measureRest, runCase } from "./measure/run.ts";
import { table } from "./report.ts";

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    minutes: { type: "string" },
    seconds: { type: "string" },
    pairs: { type: "string" },
    tokens: { type: "string" },
    seed: { type: "string" },
    case: { type: "string", multiple: true },
  },
});
/** Start, warm-up, the answers still to come and the end of a case, beside what is measured. */
const AROUND_SECONDS = 4;
const REST_SECONDS = 10;
const note = (text: string) => process.stderr.write(`${text}\n`);

function wholeNumber(
  name: "minutes" | "seconds" | "pairs" | "seed" | "tokens",
  byDefault: number,
  least: number,
): number {
  const text = options[name];
  const value = text === undefined ? byDefault : Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`--${name} is ${JSON.stringify(text)}: give a whole number from ${least}`);
}

function chosen(seed: number): (readonly Case[])[] {
  if (options.case !== undefined) return options.case.map((names) => names.split("+").map(caseNamed));
  const single = CASES.filter(({ quick }) => !options.quick || quick === true).map((one) => [one]);
  return [...single, ...randomPairs(wholeNumber("pairs", options.quick ? 0 : 6, 0), seeded(seed))];
}

/** Compares the relay's token verifier with jose. @returns whether both agree on every token */
async function tokensAgree(count: number, seed: number): Promise<boolean> {
  const { accepted, refused, differences } = await compareVerifiers(count, randomOf(seed));
  note(`${count} mutated tokens: ${accepted} accepted, ${refused} refused, ${differences.length} unlike jose`);
  for (const difference of differences.slice(0, 10)) note(difference);
  return differences.length === 0;
}

async function main(): Promise<void> {
  const seed = wholeNumber("seed", Math.floor(Math.random() * 1_000_000), 0);
  const tokens = wholeNumber("tokens", options.case === undefined ? (options.quick ? 4000 : 100_000) : 0, 0);
  const minutes = wholeNumber("minutes", options.quick ? 2 : 15, 1);
  const runs = chosen(seed);
  const fitting = Math.min(30, (minutes * 60 - REST_SECONDS) / runs.length - AROUND_SECONDS);
  const seconds = options.seconds === undefined ? fitting : wholeNumber("seconds", 0, 4);
  if (seconds < 4) {
    throw new Error(`${minutes} minutes are too few for ${runs.length} cases: raise --minutes or name some by --case`);
  }
  note(`seed ${seed}; ${runs.length} cases of ${seconds.toFixed(0)} s each`);
  if (tokens > 0 && !(await tokensAgree(tokens, seed))) process.exitCode = 1;
  const deadline = performance.now() + minutes * 60_000;
  process.env.CLOUDFLARED_BIN = (await ensureTools(note)).cloudflared;
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
    if (options.json) console.log(JSON.stringify({ seed, seconds, rest, verdicts, left }, undefined, 2));
    else console.log(table(verdicts));
  } finally {
    await network.stop();
  }
  if (left.length > 0) note(`no time was left for: ${left.join(", ")}`);
  if (left.length > 0 || verdicts.some(({ failures }) => failures.length > 0)) process.exitCode = 1;
}

main().catch((cause: unknown) => {
  note(cause instanceof Error ? cause.message : String(cause));
  process.exitCode = 2;
});
