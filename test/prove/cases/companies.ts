import { type Attacker, type Case, CHAT, chatBody } from "../case.ts";

const SERVICE_MS = 500;

const flood = (attacker: Attacker, count: number, company: () => string): Promise<void> =>
  attacker.repeat(count, () =>
    attacker.send({ path: CHAT, body: chatBody({ ms: SERVICE_MS }), headers: { "slm-company": company() } }),
  );

/** Within a caller its companies take turns. */
export const noisyCompany: Case = {
  name: "noisy-company",
  attack:
    "one company of a caller keeps 150 requests of half a second waiting, and the quiet one is another company of it",
  serviceMs: SERVICE_MS,
  quietIs: "company",
  quick: true,
  run: (attacker) => flood(attacker, 150, () => "noisy"),
};

/** A caller that may name any company gains nothing over other callers by inventing them. */
export const inventedCompanies: Case = {
  name: "invented-companies",
  attack: "keeps 200 requests of half a second waiting, each for a company that it has just invented",
  serviceMs: SERVICE_MS,
  run: (attacker) => flood(attacker, 200, () => `company ${attacker.random()}`),
};

/** A few other companies that are all noisy: the quiet one waits for one turn of each. */
export const tenNoisyCompanies: Case = {
  name: "ten-noisy-companies",
  attack:
    "ten companies of a caller keep 20 requests of half a second waiting each, and the quiet one is another company of it",
  serviceMs: SERVICE_MS,
  // Ten turns, four at a time.
  roundMs: 3 * SERVICE_MS,
  quietIs: "company",
  run: (attacker) => flood(attacker, 200, () => `noisy ${Math.floor(attacker.random() * 10)}`),
};
