/**
 * The short form of `npm run prove`: the cases marked `quick`, a few seconds each, over edge, cloudflared, relay and model
 * server. The bounds allow more for the machine than the long form does: here only what is far off is a failure.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { CASES } from "./cases.ts";
import type { Rest } from "./measure/bound.ts";
import { type Network, startNetwork } from "./measure/network.ts";
import { measureRest, runCase } from "./measure/run.ts";

const REST_SECONDS = 5;
const SECONDS = 6;
const SEED = 15;
/** For other processes on the same cores. What breaks a rule costs the quiet caller more than this, by far. */
const NOISE_MS = 1500;

let network: Network;
let rest: Rest;

beforeAll(async () => {
  network = await startNetwork();
  rest = await measureRest(network, REST_SECONDS);
});
afterAll(() => network?.stop());

it.for(CASES.filter(({ quick }) => quick))("$name: $attack", async (one) => {
  const verdict = await runCase(network, [one], { seconds: SECONDS, seed: SEED, noiseMs: NOISE_MS }, rest);
  expect(verdict.failures, JSON.stringify(verdict, undefined, 2)).toEqual([]);
});
