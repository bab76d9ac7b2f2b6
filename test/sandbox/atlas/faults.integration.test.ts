import { afterEach, beforeEach, expect, test } from "vitest";
import { Faults } from "../../../sandbox/http/faults.ts";
import { type Harness, startHarness } from "./harness.ts";

const reader = { publicKey: "reader", privateKey: "reader-secret" };
let faults: Faults;
let h: Harness;
beforeEach(async () => {
  faults = new Faults();
  h = await startHarness({ faults, readOnlyKey: reader });
});
afterEach(() => h.close());

const user = {
  username: "relay",
  databaseName: "admin",
  password: "password-1",
  roles: [{ roleName: "readWrite", databaseName: "slm" }],
};

test("faults on demand hit the call itself, not the digest's first round", async () => {
  faults.add({ path: "/databaseUsers$", status: 429, retryAfterSeconds: 3 });
  faults.add({ path: "/databaseUsers$", status: 503 });
  const limited = await h.call("GET", "/databaseUsers");
  expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "3"]);
  expect(limited.body).toMatchObject({ error: 429, errorCode: "RATE_LIMITED" });
  expect((await h.call("GET", "/databaseUsers")).status).toBe(503);
  expect((await h.call("GET", "/databaseUsers")).status).toBe(200);
});

test("a lost answer: the user is there all the same", async () => {
  faults.add({ method: "POST", path: "/databaseUsers$", status: "lost" });
  await expect(h.call("POST", "/databaseUsers", user)).rejects.toThrow();
  expect((await h.call("GET", "/databaseUsers/admin/relay")).status).toBe(200);
});

test("a key that may only read is refused every change, in Atlas' words", async () => {
  expect((await h.call("GET", "/databaseUsers", undefined, reader)).status).toBe(200);
  const refused = await h.call("POST", "/databaseUsers", user, reader);
  expect(refused).toMatchObject({ status: 401, body: { errorCode: "USER_UNAUTHORIZED" } });
  expect(refused.headers.has("www-authenticate")).toBe(false); // the key is right: asking again would not help
  expect(h.mongo.users.size).toBe(0);
});
