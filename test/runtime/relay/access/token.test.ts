import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { createLocalJWKSet, exportJWK, exportPKCS8, generateKeyPair, type JWTVerifyGetKey } from "jose";
import { expect, test } from "vitest";
import { createTokenVerifier, verifyWithJose } from "../../../../runtime/relay/access/token.ts";
import { seeded } from "../drills/seed.ts";

const ISSUER = "https://acme.cloudflareaccess.com";
const rules = { issuer: ISSUER, audience: "aud-servers" };
const pair = await generateKeyPair("RS256", { extractable: true });
const other = await generateKeyPair("RS256", { extractable: true });
const key = createPrivateKey(await exportPKCS8(pair.privateKey));
const otherKey = createPrivateKey(await exportPKCS8(other.privateKey));
const jwk = { ...(await exportJWK(pair.publicKey)), kid: "k1", alg: "RS256", use: "sig" };
const otherJwk = { ...(await exportJWK(other.publicKey)), kid: "k2", alg: "RS256", use: "sig" };
const keys = createLocalJWKSet({ keys: [jwk, otherJwk] });

const now = Math.floor(Date.now() / 1000);
const HEADER = { alg: "RS256", kid: "k1", typ: "JWT" };
const CLAIMS = { iss: ISSUER, aud: ["aud-servers"], iat: now, exp: now + 3600, common_name: "x.access" };
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const signedBy = (text: string, by: KeyObject, hash = "sha256") =>
  `${text}.${sign(hash, Buffer.from(text, "latin1"), by).toString("base64url")}`;
const make = (header: unknown = HEADER, claims: unknown = CLAIMS, by = key) =>
  signedBy(`${part(header)}.${part(claims)}`, by);

async function verdict(check: () => Promise<unknown>): Promise<string> {
  try {
    return `accepted ${JSON.stringify(await check())}`;
  } catch (cause) {
    return `refused: ${cause instanceof Error ? `${cause.name} ${cause.message}` : String(cause)}`;
  }
}

/** A check that has seen good tokens with both keys, so that it recognises what it can by itself. */
async function warm(from: JWTVerifyGetKey = keys) {
  const check = createTokenVerifier(from);
  await check(make(), rules);
  await check(make({ ...HEADER, kid: "k2" }, CLAIMS, otherKey), rules);
  return check;
}

/** Whether both say the same of a token, and the same reason. */
async function compare(check: ReturnType<typeof createTokenVerifier>, token: string): Promise<string> {
  const ours = await verdict(async () => check(token, rules));
  const joses = await verdict(async () => (await verifyWithJose(keys, token, rules)).payload);
  expect(ours, token).toBe(joses);
  return ours;
}

// Values near a border would make the verdict a matter of when the test runs.
const VALUES = [
  undefined,
  null,
  0,
  "",
  now - 3600,
  now - 15,
  now + 15,
  now + 3600,
  String(now + 3600),
  1e15,
  true,
  [],
  ["aud-servers"],
  [["aud-servers"]],
  ["x", "aud-servers", 1],
  "aud-servers",
  "aud-server",
  ISSUER,
  [ISSUER],
  { toString: "x" },
];

test("4,000 tokens, most of them changed at random: the verdict, the claims and the reason are jose's", async () => {
  const { pick, between } = seeded("tokens");
  const below = (end: number) => between(0, end - 1);
  const check = await warm();
  const counts = { accepted: 0, refused: 0 };
  const changeText = (token: string) => {
    const at = below(token.length + 1);
    const letter = pick([..."ABCabc012-_=+/. \né\u{1f511}", "", token.slice(at, at + 3)]);
    return token.slice(0, at) + letter + token.slice(at + below(3));
  };
  const changed = (value: Record<string, unknown>, names: readonly string[]) => ({
    ...value,
    [pick(names)]: pick(VALUES),
  });
  for (let round = 0; round < 4000; round += 1) {
    const kind = below(8);
    const claims = kind < 4 ? changed(CLAIMS, ["iss", "aud", "iat", "exp", "nbf", "jti", "__proto__"]) : CLAIMS;
    const header = kind === 4 ? changed(HEADER, ["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]) : HEADER;
    const by = kind === 5 ? otherKey : key;
    const token = make(header, claims, by);
    const shown = kind >= 6 ? changeText(token) : token;
    const said = await compare(check, shown);
    counts[said.startsWith("accepted") ? "accepted" : "refused"] += 1;
  }
  console.log("tokens:", JSON.stringify(counts));
  expect(counts.accepted).toBeGreaterThan(300);
  expect(counts.refused).toBeGreaterThan(300);
});

const raw = (claims: string | Buffer) => signedBy(`${part(HEADER)}.${Buffer.from(claims).toString("base64url")}`, key);
const text = JSON.stringify(CLAIMS);
const loose = (token: string) => {
  const last = token.at(-1)!;
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return token.slice(0, -1) + alphabet[(alphabet.indexOf(last) & 0b110000) | 1];
};

test.each([
  ["claims twice", raw(`{"aud":"x",${text.slice(1)}`)],
  ["claims twice, the wrong one last", raw(`${text.slice(0, -1)},"aud":"x"}`)],
  ["a byte order mark", raw(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from(text)]))],
  [
    "bytes that are no UTF-8",
    raw(Buffer.concat([Buffer.from(text.slice(0, -2)), Buffer.from([0xff]), Buffer.from('"}')])),
  ],
  ["a replacement character in good UTF-8", raw(`${text.slice(0, -2)}\ufffd"}`)],
  ["claims in an array", raw(`[${text}]`)],
  ["white space around the claims", raw(` ${text}\n`)],
  ["no claims", raw("")],
  ["a signature with the unused bits set", loose(make())],
  ["a signature with padding", `${make()}==`],
  ["a signature cut short", make().slice(0, -4)],
  ["no signature", `${make().split(".").slice(0, 2).join(".")}.`],
  ["a fourth part", `${make()}.x`],
  ["a dot more between", make().replace(".", "..")],
  ["no header", make().slice(make().indexOf("."))],
  ["another hash", signedBy(`${part(HEADER)}.${part(CLAIMS)}`, key, "sha512")],
  ["crit with what is known", make({ ...HEADER, crit: ["b64"], b64: true })],
  ["crit with what is known, and payload not encoded", make({ ...HEADER, crit: ["b64"], b64: false })],
  ["crit with what is not known", make({ ...HEADER, crit: ["exp"], exp: 1 })],
  ["a header of the same meaning in another text", make({ typ: "JWT", kid: "k1", alg: "RS256" })],
  ["the other key under its own kid", make({ ...HEADER, kid: "k2" }, CLAIMS, otherKey)],
  ["the other key's kid", make({ ...HEADER, kid: "k2" })],
])("a token with %s is judged as jose judges it, the first time and the second", async (_name, token) => {
  const check = await warm();
  expect(await compare(check, token)).toBe(await compare(check, token));
});

test("a key that is withdrawn counts for a second at most, and a new one under its kid from then on", async () => {
  let set = keys;
  const check = await warm((header, token) => set(header, token));
  expect(await verdict(async () => check(make(), rules))).toMatch(/^accepted/);
  set = createLocalJWKSet({ keys: [{ ...otherJwk, kid: "k1" }] });
  await expect
    .poll(() => verdict(async () => check(make(), rules)), { timeout: 20_000 })
    .toMatch(/^refused: JWSSignature/);
  expect(await verdict(async () => check(make(HEADER, CLAIMS, otherKey), rules))).toMatch(/^accepted/);
  set = createLocalJWKSet({ keys: [otherJwk] });
  await expect
    .poll(() => verdict(async () => check(make(HEADER, CLAIMS, otherKey), rules)), { timeout: 20_000 })
    .toMatch(/^refused: JWKSNoMatchingKey/);
});
