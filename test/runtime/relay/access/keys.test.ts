import { exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";
import { afterEach, expect, test, vi } from "vitest";
import { openAccessKeys } from "../../../../runtime/relay/access/keys.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";
import { TEAM, temporaryFolder } from "../harness.ts";

async function signer(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" };
  return { jwk, sign: () => new SignJWT({}).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey) };
}

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("a rotated key is accepted without a restart, and the previous one as long as it is published", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const [old, next] = [await signer("k1"), await signer("k2")];
  let published = [old.jwk];
  let fetches = 0;
  vi.stubGlobal("fetch", async () => {
    fetches += 1;
    return Response.json({ keys: published });
  });
  const keys = await openAccessKeys(TEAM, await temporaryFolder(), createLog({ write: () => {} }));
  const good = async (token: string) => (await jwtVerify(token, keys.get)).protectedHeader.kid;
  expect(await good(await old.sign())).toBe("k1");

  published = [next.jwk, old.jwk];
  // Soon: right after a rotation every token has a key that is not known.
  vi.setSystemTime(Date.now() + 6_000);
  expect(await good(await next.sign())).toBe("k2");
  expect(await good(await old.sign())).toBe("k1");
  const after = fetches;
  expect(await good(await next.sign())).toBe("k2");
  expect(fetches).toBe(after);

  published = [next.jwk];
  vi.setSystemTime(Date.now() + 31_000);
  await expect(good(await (await signer("k3")).sign())).rejects.toThrow(/no applicable key/);
  await expect(good(await old.sign())).rejects.toThrow(/no applicable key/);
  await keys.close();
});
