/** The keys of Access: fetched, renewed, and read from disk while they cannot be fetched. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type AccessKeys, KeysUnavailable, openAccessKeys } from "../../../../runtime/relay/access/keys.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { TEAM, temporaryFolder } from "../harness.ts";

const DAY = 24 * 3600_000;
const URL = `https://${TEAM}/cdn-cgi/access/certs`;

/** Made once: it takes a while. */
const signers = new Map<string, ReturnType<typeof newSigner>>();

async function signer(kid: string) {
  const made = signers.get(kid) ?? newSigner(kid);
  signers.set(kid, made);
  return made;
}

async function newSigner(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" };
  return { jwk, sign: () => new SignJWT({}).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey) };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Access, as `answer` has it, and what the relay logs. */
async function start(answer: () => Response, { folder = "", team = TEAM } = {}) {
  const dataDir = folder === "" ? await temporaryFolder() : folder;
  const access = { answer, fetched: [] as string[] };
  vi.stubGlobal("fetch", async (url: string) => {
    access.fetched.push(String(url));
    return access.answer();
  });
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) });
  const keys = await openAccessKeys(team, dataDir, log);
  onTestFinished(() => keys.close());
  return { access, keys, lines, dataDir };
}

/** Verifies a token. @returns the id of its key, or why there is none */
async function kidOf(keys: AccessKeys, token: string): Promise<string> {
  try {
    return (await jwtVerify(token, keys.get)).protectedHeader.kid!;
  } catch (cause) {
    return `${(cause as Error).constructor.name}: ${(cause as Error).message}`;
  }
}

const published =
  (...signers: { jwk: object }[]) =>
  () =>
    Response.json({ keys: signers.map(({ jwk }) => jwk) });
const down = (): Response => {
  throw new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND", { cause: "no error" }) });
};
const UNAVAILABLE = `KeysUnavailable: the keys of Access at ${URL} cannot be fetched: `;

test("a rotated key is accepted without a restart, and the previous one as long as it is published", async () => {
  const [old, next] = [await signer("k1"), await signer("k2")];
  const { access, keys } = await start(published(old));
  const good = (token: string) => kidOf(keys, token);
  expect(await good(await old.sign())).toBe("k1");

  access.answer = published(next, old);
  // Soon: right after a rotation every token has a key that is not known.
  vi.setSystemTime(Date.now() + 6_000);
  expect(await good(await next.sign())).toBe("k2");
  expect(await good(await old.sign())).toBe("k1");
  const known = access.fetched.length;
  expect(await good(await next.sign())).toBe("k2");
  expect(access.fetched).toHaveLength(known);

  access.answer = published(next);
  vi.setSystemTime(Date.now() + 31_000);
  expect(await good(await (await signer("k3")).sign())).toMatch(/no applicable key/);
  expect(await good(await old.sign())).toMatch(/no applicable key/);
});

test("a token with an unknown key makes the relay look at most every five seconds", async () => {
  const [old, next] = [await signer("k1"), await signer("k2")];
  const { access, keys } = await start(published(old));
  expect(await kidOf(keys, await old.sign())).toBe("k1");
  access.answer = published(next);
  const token = await next.sign();
  vi.setSystemTime(Date.now() + 4_999);
  expect(await kidOf(keys, token)).toMatch(/no applicable key/);
  vi.setSystemTime(Date.now() + 1);
  expect(await kidOf(keys, token)).toBe("k2");
  expect(access.fetched).toEqual([URL, URL]);
});

test("keys are renewed every ten minutes, half a minute after a failure, and no more once closed", async () => {
  const { access, keys, lines } = await start(published(await signer("k1")));
  const fetchedAfter = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms);
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    return access.fetched.length;
  };
  expect(await fetchedAfter(0)).toBe(1);
  expect(await fetchedAfter(599_999)).toBe(1);
  access.answer = down;
  expect(await fetchedAfter(1)).toBe(2);
  expect(await fetchedAfter(29_999)).toBe(2);
  expect(await fetchedAfter(1)).toBe(3);
  const warning = { level: "warn", msg: "keys of Access not refreshed", reason: "getaddrinfo ENOTFOUND", have: true };
  expect(lines).toMatchObject([warning, warning]);
  await keys.close();
  expect(await fetchedAfter(3_600_000)).toBe(3);
});

test("a renewal that is under way at the stop is the last one", async () => {
  const { access, keys } = await start(published(await signer("k1")));
  await keys.close();
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(access.fetched).toHaveLength(1);
});

describe("keys that cannot be fetched", () => {
  test.each([
    ["the network is down", down, "getaddrinfo ENOTFOUND"],
    ["the status is not 200", () => Response.json({ keys: [{ kty: "RSA" }] }, { status: 203 }), "HTTP status 203"],
    ["there are none", () => Response.json({ keys: [] }), /keys/],
    ["they are no keys", () => Response.json({ keys: [{ kid: "k1" }] }), /kty/],
    ["the answer is no JSON", () => new Response("<html>"), /JSON/],
    ["the cause is no error", () => Promise.reject("odd") as unknown as Response, "odd"],
  ])("are unavailable if %s", async (_name, answer, reason) => {
    const { keys, lines } = await start(answer);
    const said = await kidOf(keys, await (await signer("k1")).sign());
    expect(said.slice(0, UNAVAILABLE.length)).toBe(UNAVAILABLE);
    expect(said.slice(UNAVAILABLE.length)).toMatch(reason);
    expect(lines).toMatchObject([{ msg: "keys of Access not refreshed", have: false }]);
  });

  test("come from the disk for seven days, and are fetched again as soon as that is possible", async () => {
    const key = await signer("k1");
    const token = await key.sign();
    const first = await start(published(key));
    expect(await kidOf(first.keys, token)).toBe("k1");
    await first.keys.close(); // waits for the file
    const { dataDir: folder } = first;
    const { keys, lines, access } = await start(down, { folder });
    expect(await kidOf(keys, token)).toBe("k1");
    expect(lines).toMatchObject([{ msg: "keys of Access not refreshed", have: true }]);
    vi.setSystemTime(Date.now() + 7 * DAY);
    expect(await kidOf(keys, token)).toBe("k1");
    const late = await start(down, { folder });
    expect(await kidOf(late.keys, token)).toBe("k1");
    vi.setSystemTime(Date.now() + 1);
    expect(await kidOf(keys, token)).toContain(UNAVAILABLE);
    const tooLate = await start(down, { folder });
    expect(await kidOf(tooLate.keys, token)).toContain(UNAVAILABLE);
    access.answer = published(key);
    tooLate.access.answer = published(key);
    expect(await kidOf(tooLate.keys, token)).toBe("k1");
  });

  test("do not come from the disk if they are another team's, or of a time to come", async () => {
    const key = await signer("k1");
    const token = await key.sign();
    const first = await start(published(key));
    await kidOf(first.keys, token);
    await first.keys.close();
    const { dataDir: folder } = first;
    const other = await start(down, { folder, team: "other.cloudflareaccess.com" });
    expect(await kidOf(other.keys, token)).toContain("https://other.cloudflareaccess.com/cdn-cgi/access/certs");
    const file = join(folder, "jwks.json");
    const stored = JSON.parse(await readFile(file, "utf8")) as { uat: number };
    await writeFile(file, JSON.stringify({ ...stored, uat: Date.now() + 1 }));
    expect(await kidOf((await start(down, { folder })).keys, token)).toContain(UNAVAILABLE);
    await writeFile(file, JSON.stringify({ ...stored, uat: Date.now() }));
    expect(await kidOf((await start(down, { folder })).keys, token)).toBe("k1");
  });

  test.each(["", "{}", '{"url":"x","uat":1,"jwks":{"keys":[]}}'])(
    "do not come from a damaged file: %j",
    async (text) => {
      const folder = await temporaryFolder();
      const file = join(folder, "jwks.json");
      await writeFile(file, text);
      const { keys, lines } = await start(down, { folder });
      await expect(keys.get({ alg: "RS256" }, { payload: "", signature: "" })).rejects.toThrow(KeysUnavailable);
      const ignored = lines.filter(({ msg }) => String(msg).startsWith("cached keys of Access are ignored"));
      expect(ignored).toMatchObject([{ level: "warn", file, reason: expect.any(String) as string }]);
    },
  );
});

test("keys that cannot be written to the disk are used all the same, and the log says so", async () => {
  const key = await signer("k1");
  const folder = join(await temporaryFolder(), "not-there");
  const { keys, lines } = await start(published(key), { folder });
  expect(await kidOf(keys, await key.sign())).toBe("k1");
  await keys.close();
  expect(lines).toMatchObject([
    {
      level: "warn",
      msg: "keys of Access not cached on disk",
      file: join(folder, "jwks.json"),
      reason: expect.stringContaining("ENOENT") as string,
    },
  ]);
});
