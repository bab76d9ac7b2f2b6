/**
 * Forged tokens against the relay, by kind. Elsewhere: claims, keys and times one by one (`access.integration.test.ts`),
 * 4,000 mutated tokens against jose (`token.test.ts`), a rotated key (`keys.test.ts`), Access at the edge
 * (`test/sandbox/edge/tokens.integration.test.ts`).
 */
import { createHmac, createSign, sign as signWith } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { EncryptJWT, exportJWK, exportPKCS8, generateKeyPair, SignJWT } from "jose";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  CLIENT_ID,
  codeOf,
  PEOPLE,
  portOf,
  privateKey,
  publicJwk,
  raw,
  SERVERS,
  serverToken,
  startModel,
  startTestRelay,
  TEAM,
  token,
} from "../harness.ts";

const now = Math.floor(Date.now() / 1000);
const b64 = (value: unknown) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const CLAIMS = { iss: `https://${TEAM}`, aud: [SERVERS], iat: now, exp: now + 3600, common_name: CLIENT_ID, sub: "" };
const HEADER = { alg: "RS256", kid: "k1", typ: "JWT" };
const attacker = await generateKeyPair("RS256", { extractable: true });
const attackerJwk = { ...(await exportJWK(attacker.publicKey)), kid: "k1", alg: "RS256", use: "sig" };
const ours = await exportPKCS8(privateKey);

/** Signed by Access's key whatever the header and the claims say, as text. */
function signed(header: unknown, claims: unknown, hash = "RSA-SHA256"): string {
  const text = `${b64(header)}.${b64(claims)}`;
  return `${text}.${createSign(hash).update(text).sign(ours, "base64url")}`;
}

/** Signed by the attacker's own key. */
function forged(header: object, claims: object = CLAIMS): Promise<string> {
  return new SignJWT({ ...claims }).setProtectedHeader({ ...HEADER, ...header } as never).sign(attacker.privateKey);
}

async function start() {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const ask = async (jwt: string, path = "/v1/models") => {
    const response = await fetch(relay.url + path, { headers: { "Cf-Access-Jwt-Assertion": jwt } });
    return response.status === 200 ? "ok" : `${response.status} ${await codeOf(response)}`;
  };
  // Warm: the relay's own verifier knows the header of the valid token.
  expect(await ask(serverToken)).toBe("ok");
  model.seen.length = 0;
  return { model, relay, ask };
}

/** Refused each time: by jose the first time, and when the relay's own check has seen such tokens. */
async function refused(jwt: string, code: string | RegExp): Promise<void> {
  const { model, ask } = await start();
  for (let time = 0; time < 2; time += 1) {
    if (typeof code === "string") expect(await ask(jwt)).toBe(code);
    else expect(await ask(jwt)).toMatch(code);
  }
  expect(await ask(serverToken)).toBe("ok");
  expect(model.seen).toHaveLength(1);
}

const INVALID = "403 access_invalid";

describe("the algorithm", () => {
  test.each(["none", "None", "NONE", "nOnE", "", "none "])("%j without a signature", async (alg) => {
    await refused(`${b64({ ...HEADER, alg })}.${b64(CLAIMS)}.`, INVALID);
  });

  test.each(["none", "None"])("%j with the signature of a valid token", async (alg) => {
    await refused(`${b64({ ...HEADER, alg })}.${serverToken.split(".").slice(1).join(".")}`, INVALID);
  });

  test.each([
    ["HS256", "sha256"],
    ["HS384", "sha384"],
    ["HS512", "sha512"],
  ])("%s with what the public key is made of as the secret", async (alg, hash) => {
    for (const secret of [
      JSON.stringify(publicJwk),
      publicJwk.n ?? "",
      Buffer.from(publicJwk.n ?? "", "base64url"),
      "",
    ]) {
      const text = `${b64({ ...HEADER, alg })}.${b64(CLAIMS)}`;
      await refused(`${text}.${createHmac(hash, secret).update(text).digest("base64url")}`, INVALID);
    }
  });

  test.each(["rs256", "RS384", "RS512", "PS256", "ES256", "EdDSA"])(
    "%s named for a signature of RS256",
    async (alg) => {
      await refused(signed({ ...HEADER, alg }, CLAIMS), INVALID);
    },
  );

  test("a signature with another hash or padding under RS256", async () => {
    await refused(signed(HEADER, CLAIMS, "RSA-SHA1"), INVALID);
    await refused(signed(HEADER, CLAIMS, "RSA-SHA512"), INVALID);
    const text = `${b64(HEADER)}.${b64(CLAIMS)}`;
    const pss = signWith("sha256", Buffer.from(text), { key: ours, padding: 6 });
    await refused(`${text}.${pss.toString("base64url")}`, INVALID);
  });

  test("an encrypted token", async () => {
    const jwe = await new EncryptJWT(CLAIMS)
      .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: "k1" })
      .encrypt(new Uint8Array(32));
    await refused(jwe, INVALID);
  });
});

describe("the key", () => {
  test.each([
    "../../../../../../dev/null",
    "/dev/null",
    "file:///etc/passwd",
    "k1' OR '1'='1",
    "k1; DROP TABLE keys",
    "k1\u0000",
    "K1",
    "k1 ",
    "__proto__",
    "constructor",
    "",
  ])("named by the kid %j, signed by the attacker or by nobody", async (kid) => {
    await refused(await forged({ kid }), INVALID);
    await refused(`${b64({ ...HEADER, kid })}.${b64(CLAIMS)}.`, INVALID);
  });

  test.each([1, null, ["k1"], { k1: 1 }])(
    "named by a kid that is no text, %j, as an empty key would be",
    async (kid) => {
      await refused(await forged({ kid } as object), INVALID);
      const text = `${b64({ ...HEADER, kid, alg: "HS256" })}.${b64(CLAIMS)}`;
      await refused(`${text}.${createHmac("sha256", "").update(text).digest("base64url")}`, INVALID);
    },
  );

  test("that the token brings along, or says where to fetch, is neither used nor fetched", async () => {
    let fetched = 0;
    const server = createServer((_req, res) => {
      fetched += 1;
      res.setHeader("Content-Type", "application/json").end(JSON.stringify({ keys: [attackerJwk] }));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${portOf(server)}/keys`;
    for (const header of [
      { jwk: attackerJwk },
      { jku: url },
      { x5u: url },
      { x5c: ["MIIB"] },
      { jwk: attackerJwk, kid: "mine" },
      { jku: url, kid: "mine" },
      { kid: url },
      { iss: url },
    ]) {
      await refused(await forged(header), INVALID);
    }
    expect(fetched).toBe(0);
  });

  test("with a genuine signature the header cannot name another key either", async () => {
    const { ask } = await start();
    // Signed by Access, so accepted: the additional parameters have no effect.
    expect(await ask(signed({ ...HEADER, jwk: attackerJwk, jku: "http://127.0.0.1:9/" }, CLAIMS))).toBe("ok");
  });
});

describe("what must be understood", () => {
  test.each([[["exp"]], [["http://example.com/must"]], [["b64"]], [[]], ["exp"], [null]])("crit %j", async (crit) => {
    await refused(signed({ ...HEADER, crit, "http://example.com/must": true, b64: false, exp: now }, CLAIMS), INVALID);
  });

  test("an unencoded payload", async () => {
    await refused(signed({ ...HEADER, b64: false, crit: ["b64"] }, CLAIMS), INVALID);
  });
});

describe("claims of a genuine signature, of another place or time", () => {
  test.each([
    `https://${TEAM}/`,
    `http://${TEAM}`,
    `https://${TEAM}.evil.example`,
    `https://evil.example/https://${TEAM}`,
    TEAM.toUpperCase(),
    `https://${TEAM.toUpperCase()}`,
    "",
    [`https://${TEAM}`],
    null,
  ])("iss %j", async (iss) => refused(signed(HEADER, { ...CLAIMS, iss }), INVALID));

  test.each([
    [[PEOPLE]],
    [[]],
    [[`${SERVERS} `]],
    [[SERVERS.toUpperCase()]],
    [[SERVERS.slice(0, -1)]],
    [[[SERVERS]]],
    [`${SERVERS},${PEOPLE}`],
    [{ 0: SERVERS, length: 1 }],
    [null],
    [true],
    [""],
  ])("aud %j", async (aud) => refused(signed(HEADER, { ...CLAIMS, aud }), /^403 access_(wrong_audience|invalid)$/));

  test.each([
    [{ exp: now - 31 }, "403 access_expired"],
    [{ exp: 0 }, "403 access_expired"],
    [{ exp: -1 }, "403 access_expired"],
    [{ exp: String(now + 3600) }, INVALID],
    [{ exp: null }, INVALID],
    [{ exp: [now + 3600] }, INVALID],
    [{ iat: String(now) }, INVALID],
    [{ iat: null }, INVALID],
    [{ nbf: now + 3600 }, INVALID],
    [{ nbf: String(now - 1) }, INVALID],
  ])("%j", async (times, code) => refused(signed(HEADER, { ...CLAIMS, ...times }), code));

  test("the same claim twice: the last one counts, for the check as for the caller", async () => {
    const twice = (first: string, last: string) =>
      signed(HEADER, `${JSON.stringify({ ...CLAIMS, aud: undefined }).slice(0, -1)},${first},${last}}`);
    const [good, bad] = [`"aud":["${SERVERS}"]`, `"aud":["${PEOPLE}"]`];
    await refused(twice(good, bad), "403 access_wrong_audience");
    const { ask } = await start();
    expect(await ask(twice(bad, good))).toBe("ok");
    const named = signed(HEADER, `${JSON.stringify(CLAIMS).slice(0, -1)},"common_name":"ffff.access"}`);
    expect(await ask(named)).toBe("403 caller_unknown");
  });

  test("__proto__ brings no claims", async () => {
    const text = JSON.stringify({ ...CLAIMS, common_name: undefined });
    const jwt = signed(HEADER, `${text.slice(0, -1)},"__proto__":{"common_name":"${CLIENT_ID}"}}`);
    await refused(jwt, "403 caller_unknown");
  });

  test.each([
    "",
    null,
    1,
    [CLIENT_ID],
    { toString: CLIENT_ID },
    CLIENT_ID.toUpperCase(),
    ` ${CLIENT_ID}`,
    `${CLIENT_ID}\0`,
  ])("common_name %j is nobody's client id", async (name) =>
    refused(signed(HEADER, { ...CLAIMS, common_name: name }), "403 caller_unknown"),
  );

  test.each(["org", "ORG", "warp", 1, null])("a token of the type %j is no token of an application", async (type) => {
    await refused(signed(HEADER, { ...CLAIMS, type }), INVALID);
    const { ask } = await start();
    const person = { ...CLAIMS, aud: [PEOPLE], common_name: undefined, email: "kim@example.com" };
    expect(await ask(signed(HEADER, { ...person, type }), "/status")).toBe(INVALID);
    expect(await ask(signed(HEADER, { ...person, type: "app" }), "/status")).toBe("ok");
    expect(await ask(signed(HEADER, { ...CLAIMS, type: "app" }))).toBe("ok");
  });

  test.each(["[]", "null", '"text"', "1", "", "{", "{}x", "\ufeff{}"])("claims that are %j", async (claims) => {
    await refused(signed(HEADER, claims), INVALID);
  });
});

describe("the text of a genuine token", () => {
  const [head = "", claims = "", signature = ""] = serverToken.split(".");
  // The signature's last character has unused bits: another character with the same bits is another text.
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet[alphabet.indexOf(signature.at(-1)!) ^ 1]!;

  test.each([
    ["padding", `${head}=.${claims}.${signature}`],
    ["padding of the signature", `${serverToken}==`],
    ["unused bits", `${head}.${claims}.${signature.slice(0, -1)}${last}`],
    ["the other alphabet", `${head}.${claims}.${signature.replaceAll("-", "+").replaceAll("_", "/")}+/`],
    ["white space inside", `${head}. ${claims}.${signature}`],
    ["a tab inside", `${head}.${claims}\t.${signature}`],
    ["a fourth part", `${serverToken}.${signature}`],
    ["a part less", `${head}.${claims}`],
    ["an empty signature", `${head}.${claims}.`],
    ["a dot before", `.${serverToken}`],
    ["Bearer before", `Bearer ${serverToken}`],
    ["quotes", `"${serverToken}"`],
    ["percent-encoding", serverToken.replaceAll(".", "%2E")],
    ["a comma after", `${serverToken},`],
    ["the claims of another", `${head}.${b64({ ...CLAIMS, common_name: "other" })}.${signature}`],
    ["the header of another", `${b64({ ...HEADER, kid: "k2" })}.${claims}.${signature}`],
    ["JSON serialization", JSON.stringify({ protected: head, payload: claims, signature })],
  ])("with %s", async (_name, jwt) => refused(jwt, INVALID));

  test.each([8000, 30_000])("of %i characters is refused in linear time", async (length) => {
    await refused("e".repeat(length), INVALID);
    await refused(`${"e".repeat(length / 2)}.${"e".repeat(length / 4)}.${"e".repeat(length / 4)}`, INVALID);
    await refused(".".repeat(length), INVALID);
  });
});

describe("where the token stands", () => {
  const request = (headers: string) => `GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n\r\n`;
  const BAD = `${serverToken.slice(0, -8)}AAAAAAAA`;

  test.each([
    [
      "two headers, the first one valid",
      `Cf-Access-Jwt-Assertion: ${serverToken}\r\nCf-Access-Jwt-Assertion: ${BAD}`,
      "access_invalid",
    ],
    [
      "two headers, the last one valid",
      `Cf-Access-Jwt-Assertion: ${BAD}\r\ncf-access-jwt-assertion: ${serverToken}`,
      "access_invalid",
    ],
    [
      "an empty header before a valid one",
      `Cf-Access-Jwt-Assertion: \r\nCf-Access-Jwt-Assertion: ${serverToken}`,
      "access_invalid",
    ],
    ["a valid cookie alone", `Cookie: CF_Authorization=${serverToken}`, "access_missing"],
    [
      "a valid cookie beside an invalid header",
      `Cookie: CF_Authorization=${serverToken}\r\nCf-Access-Jwt-Assertion: ${BAD}`,
      "access_invalid",
    ],
    ["Authorization", `Authorization: Bearer ${serverToken}`, "access_missing"],
    ["another name of the header", `Cf_Access_Jwt_Assertion: ${serverToken}`, "access_missing"],
    ["Cf-Access-Token", `Cf-Access-Token: ${serverToken}`, "access_missing"],
    ["a header on a folded line", `X: y\r\n Cf-Access-Jwt-Assertion: ${serverToken}`, "http_malformed"],
    ["a header after a bare line feed", `X: y\nCf-Access-Jwt-Assertion: ${serverToken}`, "http_malformed"],
    ["a space before the colon", `Cf-Access-Jwt-Assertion : ${serverToken}`, "http_malformed"],
    ["only client id and secret", "CF-Access-Client-Id: x\r\nCF-Access-Client-Secret: y", "access_missing"],
  ])("%s", async (_name, headers, code) => {
    const { model, relay } = await start();
    const answer = await raw(relay.port, request(headers));
    expect(answer).toContain(`"code":"${code}"`);
    expect(answer).not.toMatch(/^HTTP\/1\.1 200/);
    expect(model.seen).toEqual([]);
  });

  test("an invalid cookie beside a valid header changes nothing", async () => {
    const { relay } = await start();
    const answer = await raw(
      relay.port,
      request(`Cookie: CF_Authorization=${BAD}\r\nCf-Access-Jwt-Assertion: ${serverToken}`),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200/);
  });

  test("in a trailer it comes too late", async () => {
    const { model, relay } = await start();
    const answer = await raw(
      relay.port,
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n\r\n`,
    );
    expect(answer).toContain('"code":"access_missing"');
    expect(model.seen).toEqual([]);
  });
});

test("a key withdrawn by a rotation counts no longer, also for tokens that were accepted with it", async () => {
  const { createLocalJWKSet } = await import("jose");
  const next = await generateKeyPair("RS256", { extractable: true });
  const nextJwk = { ...(await exportJWK(next.publicKey)), kid: "k2", alg: "RS256", use: "sig" };
  let published = createLocalJWKSet({ keys: [publicJwk] });
  const model = await startModel();
  const relay = await startTestRelay(model.url, {}, { keys: (...call) => published(...call) });
  const ask = async (jwt: string) =>
    (await fetch(`${relay.url}/v1/models`, { headers: { "Cf-Access-Jwt-Assertion": jwt } })).status;
  expect(await ask(serverToken)).toBe(200);
  published = createLocalJWKSet({ keys: [nextJwk] });
  expect(await ask(await token({}, "k2", next.privateKey))).toBe(200);
  await expect.poll(() => ask(serverToken), { timeout: 10_000 }).toBe(403);
});
