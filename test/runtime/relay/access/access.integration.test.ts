import { createHmac } from "node:crypto";
import { exportSPKI, generateKeyPair } from "jose";
import { describe, expect, test } from "vitest";
import { KeysUnavailable } from "../../../../runtime/relay/access/keys.ts";
import {
  CLIENT_ID,
  codeOf,
  PEOPLE,
  personToken,
  publicKey,
  rawGet,
  SERVERS,
  serverToken,
  startModel,
  startTestRelay,
  token,
} from "../harness.ts";

const now = () => Math.floor(Date.now() / 1000);
const b64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const other = await generateKeyPair("RS256");

async function ask(url: string, jwt: string | undefined, path = "/v1/models") {
  const response = await fetch(url + path, { headers: jwt === undefined ? {} : { "Cf-Access-Jwt-Assertion": jwt } });
  return response.status === 200 ? "ok" : `${response.status} ${await codeOf(response)}`;
}

const payload = {
  iss: "https://acme.cloudflareaccess.com",
  aud: [SERVERS],
  iat: now(),
  exp: now() + 60,
  common_name: CLIENT_ID,
};
const hmacWithPublicKey = async () => {
  const text = `${b64({ alg: "HS256", kid: "k1", typ: "JWT" })}.${b64(payload)}`;
  return `${text}.${createHmac("sha256", await exportSPKI(publicKey))
    .update(text)
    .digest("base64url")}`;
};

const refused: [string, () => Promise<string | undefined>, string][] = [
  ["no token", async () => undefined, "access_missing"],
  ["an empty token", async () => "", "access_missing"],
  ["garbage", async () => "garbage", "access_invalid"],
  ["two tokens in one header", async () => `${serverToken}, ${serverToken}`, "access_invalid"],
  ["alg none", async () => `${b64({ alg: "none", kid: "k1" })}.${b64(payload)}.`, "access_invalid"],
  ["HS256 with the public key as the secret", hmacWithPublicKey, "access_invalid"],
  ["another key under a known kid", () => token({}, "k1", other.privateKey), "access_invalid"],
  ["an unknown kid", () => token({}, "k2"), "access_invalid"],
  ["another issuer", () => token({ iss: "https://evil.cloudflareaccess.com" }), "access_invalid"],
  ["a person's audience", () => token({ aud: [PEOPLE] }), "access_wrong_audience"],
  ["no audience", () => token({ aud: undefined }), "access_wrong_audience"],
  ["a time that is over", () => token({ exp: now() - 31 }), "access_expired"],
  ["no end", () => token({ exp: undefined }), "access_invalid"],
  ["no start", () => token({ iat: undefined }), "access_invalid"],
  ["a start in the future", () => token({ nbf: now() + 60 }), "access_invalid"],
  ["an unknown client id", () => token({ common_name: "ffff.access" }), "caller_unknown"],
  ["a person's address for a client id", () => token({ common_name: undefined, email: "a@b.c" }), "caller_unknown"],
];

describe("a token", async () => {
  test.each(refused)("with %s is refused", async (_name, make, code) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect(await ask(relay.url, await make())).toBe(`403 ${code}`);
    expect(model.seen).toEqual([]);
  });

  test("of a server is valid for the model and not for /status", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect(await ask(relay.url, serverToken)).toBe("ok");
    expect(await ask(relay.url, await token({ aud: ["x", SERVERS] }))).toBe("ok");
    for (const path of ["/status", "/status/data.json"]) {
      expect(await ask(relay.url, serverToken, path)).toBe("403 access_wrong_audience");
      expect(await ask(relay.url, undefined, path)).toBe("403 access_missing");
    }
  });

  test("of a person is valid for /status and not for the model", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect(await ask(relay.url, personToken, "/status")).toBe("ok");
    expect(await ask(relay.url, personToken)).toBe("403 access_wrong_audience");
    expect(await ask(relay.url, personToken, "/statusx")).toBe("403 access_wrong_audience");
  });

  test("that has just expired is accepted: clocks differ by some seconds", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    expect(await ask(relay.url, await token({ exp: now() - 10, nbf: now() + 10 }))).toBe("ok");
  });
});

describe("the audience is decided by the path as received", () => {
  /** With the other side's token: refused for the audience. With its own: let through this check, and refused as no path. */
  async function answers(path: string) {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const code = async (auth: string) => (await rawGet(relay.port, path, auth)).code;
    const both = { server: await code(serverToken), person: await code(personToken) };
    expect(model.seen).toEqual([]);
    return both;
  }

  test.each([
    "/status/../v1/models",
    "/status/%2e%2e/v1/models",
    "/status/%2E%2E%2Fv1/models",
    "/status/..;/v1/models",
    "/status//v1/models",
    "/status/.",
    "/status/%00",
  ])("%s is for people", async (path) => {
    expect(await answers(path)).toEqual({ server: "access_wrong_audience", person: "not_found" });
  });

  test.each([
    "/v1/../status",
    "/./status",
    "//status",
    "/%2e/status",
    "/%73tatus",
    "/status%2f",
    "/status%2Fdata.json",
    "/Status",
    "/STATUS/data.json",
    "/status;x",
    "/status.",
    "/statusx",
  ])("%s is for servers", async (path) => {
    expect(await answers(path)).toEqual({ server: "not_found", person: "access_wrong_audience" });
  });
});

test("a disabled caller is refused", async () => {
  const model = await startModel();
  const caller = { name: "old", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: false };
  const relay = await startTestRelay(model.url, { callers: [caller] });
  expect(await ask(relay.url, serverToken)).toBe("403 caller_disabled");
});

test("without keys the response is 503 with Retry-After", async () => {
  const model = await startModel();
  const keys = () => Promise.reject(new KeysUnavailable("down"));
  const relay = await startTestRelay(model.url, {}, { keys });
  const response = await fetch(`${relay.url}/v1/models`, { headers: { "Cf-Access-Jwt-Assertion": serverToken } });
  expect([response.status, await codeOf(response)]).toEqual([503, "access_keys_unavailable"]);
  expect(response.headers.get("retry-after")).toBe("5");
  expect(response.headers.get("x-should-retry")).toBe("true");
});

test("an unauthenticated client cannot find out which paths exist", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  // The envelope is that of the API whose prefix the path has, whether or not the path is served.
  const alike = [
    ["/v1/models", "/v1/documents", "/v1/jobs/x", "/status", "/nothing"],
    ["/api/chat", "/api/delete", "/api/nothing"],
    ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/nothing"],
  ];
  for (const paths of alike) {
    const answers = new Set<string>();
    for (const path of paths) {
      const response = await fetch(relay.url + path, { method: "DELETE" });
      answers.add(`${response.status} ${await response.text()}`);
    }
    expect([...answers]).toHaveLength(1);
  }
});

test("the log has the caller and the reason of a refusal, and no token", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  await ask(relay.url, serverToken);
  await ask(relay.url, personToken, "/status?secret=1");
  await ask(relay.url, await token({ iss: "https://evil.cloudflareaccess.com" }));
  await relay.close();
  const requests = relay.lines.filter(({ msg }) => msg === "request");
  expect(requests).toMatchObject([
    { caller: "backend", path: "/v1/models", status: 200 },
    { caller: "kim@example.com", path: "/status", status: 200 },
    { code: "access_invalid", detail: 'unexpected "iss" claim value', status: 403 },
  ]);
  expect(JSON.stringify(relay.lines)).not.toMatch(/eyJ|secret/);
});
