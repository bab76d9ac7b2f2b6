/**
 * The short form of `npm run prove`: of the attacks and faults that are marked `quick` a few, chosen by a seed, over edge,
 * cloudflared, relay and model server. PROVE_SEED chooses others. The bounds allow more for the machine than the long form
 * does: here only what is far off is a failure.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CASES } from "./cases.ts";
import { FAULTS } from "./faults/faults.ts";
import { type FaultNetwork, startFaultNetwork } from "./faults/network.ts";
import { obstacleTo, runFault } from "./faults/run.ts";
import { some } from "./faults/suite.ts";
import type { Rest } from "./measure/bound.ts";
import { type Network, startNetwork } from "./measure/network.ts";
import { measureRest, runCase } from "./measure/run.ts";

const REST_SECONDS = 5;
const SECONDS = 6;
const SEED = Number(process.env.PROVE_SEED ?? 15);
/** So many of each that the whole takes about two minutes. */
const ATTACKS = 4;
const QUICK_FAULTS = 2;
/** For other processes on the same cores. What breaks a rule costs the quiet caller more than this, by far. */
const NOISE_MS = 1500;

const isQuick = ({ quick }: { readonly quick?: boolean }) => quick === true;

describe("attacks", () => {
  let network: Network;
  let rest: Rest;
  beforeAll(async () => {
    network = await startNetwork();
    rest = await measureRest(network, REST_SECONDS);
  });
  afterAll(() => network?.stop());

  it.for(some(ATTACKS, SEED, CASES.filter(isQuick)))("$name: $attack", async (one) => {
    const verdict = await runCase(network, [one], { seconds: SECONDS, seed: SEED, noiseMs: NOISE_MS }, rest);
    expect(verdict.failures, JSON.stringify(verdict, undefined, 2)).toEqual([]);
  });
});

describe("faults", () => {
  let network: FaultNetwork;
  beforeAll(async () => {
    network = await startFaultNetwork();
  });
  afterAll(() => network?.stop());

  it.for(some(QUICK_FAULTS, SEED, FAULTS.filter(isQuick)))(
    "$name: $fault",
    { timeout: 300_000 },
    async (one, { skip }) => {
      const obstacle = obstacleTo(one, network);
      if (obstacle !== undefined) skip(obstacle);
      const verdict = await runFault(network, one, SEED);
      expect(verdict.failures, JSON.stringify(verdict, undefined, 2)).toEqual([]);
    },
  );
});
