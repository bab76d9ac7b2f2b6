/** The short form of the malformed requests of `npm run prove`. PROVE_SEED chooses others. */
import { expect, test } from "vitest";
import { malformedHolds } from "./malformed/suite.ts";

const SEED = Number(process.env.PROVE_SEED ?? 22);

test("3,000 malformed requests: no crash, no 5xx of the relay's own, no hang, and memory stays", {
  timeout: 300_000,
}, async () => {
  const { failures, sent, statuses } = await malformedHolds(3000, SEED);
  expect(failures).toEqual([]);
  expect(sent).toBe(3000);
  // The requests reach every depth: some are accepted, most are refused, some are no HTTP.
  for (const status of ["200", "400", "404", "413", "415", "431"]) expect(statuses[status] ?? 0).toBeGreaterThan(0);
});
