import { afterEach, beforeEach, expect, test } from "vitest";
import { account_id, type Harness, raw, refusalOf, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

const tokens = () => h.client.zeroTrust.access.serviceTokens;
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

async function makeToken(name = "backend") {
  const made = await tokens().create({ account_id, name, duration: "8760h" });
  return { id: made.id!, clientId: made.client_id!, secret: made.client_secret! };
}

test("a service token's secret is shown when it is made, never again, and lets its holder in", async () => {
  const made = await tokens().create({ account_id, name: "backend" });
  expect(made.client_id).toMatch(/^[0-9a-f]{32}\.access$/);
  expect(made.client_secret).toMatch(/^cfast_[0-9A-Za-z]{48}$/);
  expect(made.duration).toBe("8760h");
  const read = await tokens().get(made.id!, { account_id });
  expect(read).toMatchObject({ name: "backend", client_id: made.client_id, client_secret_version: 1, enabled: true });
  expect(JSON.stringify(read)).not.toMatch(/cfast_|hash/);
  expect(h.account.verifyServiceToken(made.client_id!, made.client_secret!)).toBe(made.id);
  expect(h.account.verifyServiceToken(made.client_id!, `${made.client_secret}x`)).toBeUndefined();
  expect(h.account.verifyServiceToken("unknown.access", made.client_secret!)).toBeUndefined();
  expect((await tokens().list({ account_id, name: "backend" })).result.map((one) => one.id)).toEqual([made.id]);
});

test("one PUT rotates: same client id, new secret, the old one valid until the time given", async () => {
  const made = await makeToken();
  const until = inAnHour();
  const body = {
    name: "backend",
    duration: "8760h",
    client_secret_version: 2,
    previous_client_secret_expires_at: until,
  };
  const path = `/accounts/${account_id}/access/service_tokens/${made.id}`;
  const rotated = (await raw(h.url, "PUT", path, body)).result as Record<string, string>;
  expect(rotated).toMatchObject({ client_id: made.clientId, client_secret_version: 2 });
  expect(rotated.client_secret).toMatch(/^cfast_/);
  expect(rotated.client_secret).not.toBe(made.secret);
  expect(h.account.verifyServiceToken(made.clientId, rotated.client_secret!)).toBe(made.id);
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBe(made.id);
  // Repeating the PUT does not rotate, and the response has no secret.
  expect((await raw(h.url, "PUT", path, body)).result).not.toHaveProperty("client_secret");
  expect(h.account.verifyServiceToken(made.clientId, rotated.client_secret!)).toBe(made.id);
  const past = new Date(Date.now() - 1000).toISOString();
  await tokens().update(made.id, { account_id, previous_client_secret_expires_at: past });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBeUndefined();
  expect(h.account.verifyServiceToken(made.clientId, rotated.client_secret!)).toBe(made.id);
});

test("a rotation without an overlap kills the old secret at once; by POST too", async () => {
  const made = await makeToken();
  await tokens().update(made.id, { account_id, client_secret_version: 2 });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBeUndefined();
  const second = await tokens().rotate(made.id, { account_id });
  const third = await tokens().rotate(made.id, { account_id, previous_client_secret_expires_at: inAnHour() });
  expect(h.account.verifyServiceToken(made.clientId, second.client_secret!)).toBe(made.id);
  expect(h.account.verifyServiceToken(made.clientId, third.client_secret!)).toBe(made.id);
  expect((await tokens().get(made.id, { account_id })) as unknown).toMatchObject({ client_secret_version: 4 });
  const back = await refusalOf(tokens().update(made.id, { account_id, client_secret_version: 1 }));
  expect(back).toMatchObject({ status: 400, message: expect.stringMatching(/client_secret_version/) });
});

test("a disabled or expired token lets nobody in, and can be enabled or refreshed", async () => {
  const made = await makeToken();
  await tokens().update(made.id, { account_id, enabled: false });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBeUndefined();
  await tokens().update(made.id, { account_id, enabled: true });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBe(made.id);
  await tokens().update(made.id, { account_id, duration: "1ns" });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBeUndefined();
  await tokens().update(made.id, { account_id, duration: "forever" });
  expect(h.account.verifyServiceToken(made.clientId, made.secret)).toBe(made.id);
  expect((await tokens().refresh(made.id, { account_id })).id).toBe(made.id);
  expect(await refusalOf(tokens().update(made.id, { account_id, duration: "1 year" }))).toMatchObject({ status: 400 });
});
