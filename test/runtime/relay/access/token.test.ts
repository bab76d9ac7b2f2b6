import { createLocalJWKSet } from "jose";
import { expect, onTestFinished, test, vi } from "vitest";
import type { VerifyToken } from "../../../../runtime/relay/access/token.ts";
import { seeded } from "../drills/seed.ts";
import {
  bothOutcomes,
  CLAIMS,
  compareVerifiers,
  HEADER,
  keys,
  makeToken,
  otherKey,
  outcomeOf,
  RULES,
  signText,
  warmVerifier,
  withRawClaims,
} from "./mutated-tokens.ts";

/** Compares both verifiers. @returns the outcome */
async function sameOutcome(verify: VerifyToken, token: string): Promise<string> {
  const { own, jose } = await bothOutcomes(verify, token);
  expect(own, token).toBe(jose);
  return own;
}

const text = JSON.stringify(CLAIMS);
const [headerText, claimsText] = makeToken().split(".");
/** The same signature in base64url, with unused bits set. */
const withUnusedBits = (token: string) => {
  const last = token.at(-1)!;
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return token.slice(0, -1) + alphabet[(alphabet.indexOf(last) & 0b110000) | 1];
};

test.each([
  ["a duplicate claim", withRawClaims(`{"aud":"x",${text.slice(1)}`)],
  ["a duplicate claim, the wrong one last", withRawClaims(`${text.slice(0, -1)},"aud":"x"}`)],
  ["a byte order mark", withRawClaims(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)]))],
  [
    "bytes that are not UTF-8",
    withRawClaims(Buffer.concat([Buffer.from(text.slice(0, -2)), Buffer.from([0xff]), Buffer.from('"}')])),
  ],
  ["a replacement character in valid UTF-8", withRawClaims(`${text.slice(0, -2)}\ufffd"}`)],
  ["claims in an array", withRawClaims(`[${text}]`)],
  ["white space around the claims", withRawClaims(` ${text}\n`)],
  ["empty claims", withRawClaims("")],
  ["a signature with unused bits set", withUnusedBits(makeToken())],
  ["a signature with padding", `${makeToken()}==`],
  ["a truncated signature", makeToken().slice(0, -4)],
  ["an empty signature", `${headerText}.${claimsText}.`],
  ["a fourth part", `${makeToken()}.x`],
  ["an empty part", makeToken().replace(".", "..")],
  ["an empty header", makeToken().slice(makeToken().indexOf("."))],
  ["another hash", signText(`${headerText}.${claimsText}`, undefined, "sha512")],
  ["a known crit parameter", makeToken({ ...HEADER, crit: ["b64"], b64: true })],
  ["a known crit parameter and a payload that is not encoded", makeToken({ ...HEADER, crit: ["b64"], b64: false })],
  ["an unknown crit parameter", makeToken({ ...HEADER, crit: ["exp"], exp: 1 })],
  ["an equal header in another spelling", makeToken({ typ: "JWT", kid: "k1", alg: "RS256" })],
  ["the other key and its kid", makeToken({ ...HEADER, kid: "k2" }, CLAIMS, otherKey.privateKey)],
  ["the other key's kid", makeToken({ ...HEADER, kid: "k2" })],
])("a token with %s has jose's outcome, the first time and the second", async (_name, token) => {
  const verify = await warmVerifier();
  expect(await sameOutcome(verify, token)).toBe(await sameOutcome(verify, token));
});

test("a withdrawn key is accepted for less than a second; a new key under its kid is accepted from then on", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  let set = keys;
  const verify = await warmVerifier((header, token) => set(header, token));
  const outcome = (token: string) => outcomeOf(async () => verify(token, RULES));
  const byOtherKey = makeToken(HEADER, CLAIMS, otherKey.privateKey);
  expect(await outcome(makeToken())).toMatch(/^accepted/);
  set = createLocalJWKSet({ keys: [{ ...otherKey.jwk, kid: "k1" }] });
  vi.advanceTimersByTime(999);
  expect(await outcome(makeToken())).toMatch(/^accepted/);
  vi.advanceTimersByTime(1);
  expect(await outcome(makeToken())).toMatch(/^refused: JWSSignature/);
  expect(await outcome(byOtherKey)).toMatch(/^accepted/);
  set = createLocalJWKSet({ keys: [otherKey.jwk] });
  vi.advanceTimersByTime(999);
  expect(await outcome(byOtherKey)).toMatch(/^accepted/);
  vi.advanceTimersByTime(1);
  expect(await outcome(byOtherKey)).toMatch(/^refused: JWKSNoMatchingKey/);
});

test("4,000 mutated tokens: outcome, claims and reason equal jose's (100,000 in `npm run prove`)", async () => {
  const { accepted, refused, differences } = await compareVerifiers(4000, seeded("tokens"));
  expect(differences).toEqual([]);
  expect(accepted).toBeGreaterThan(300);
  expect(refused).toBeGreaterThan(300);
}, 60_000);
