import { afterEach, beforeEach, expect, test } from "vitest";
import { type Harness, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness({ delays: { userMs: 80, accessMs: 80, clusterPolls: 2 } });
});
afterEach(() => h.close());

const user = {
  username: "relay",
  databaseName: "admin",
  password: "password-1",
  roles: [{ roleName: "readWrite", databaseName: "slm" }],
};

test("a user can sign in only some time after the answer", async () => {
  const arrived = h.mongo.nextChange();
  expect((await h.call("POST", "/databaseUsers", user)).status).toBe(201);
  expect(h.mongo.users.size).toBe(0);
  await arrived;
  expect([...h.mongo.users.keys()]).toEqual(["relay"]);
});

test("an access-list entry is pending, then active", async () => {
  const arrived = h.mongo.nextChange();
  await h.call("POST", "/accessList", [{ cidrBlock: "203.0.113.7/32" }]);
  expect(h.mongo.accessList).toEqual([]);
  expect((await h.call("GET", "/accessList/203.0.113.7/status")).body).toEqual({ STATUS: "PENDING" });
  await arrived;
  expect(h.mongo.accessList).toEqual(["203.0.113.7/32"]);
});

test("a change that was not yet in effect is, after a restart", async () => {
  await h.call("POST", "/databaseUsers", user);
  const fresh = await h.restart();
  expect(h.mongo.users.size).toBe(0);
  expect([...fresh.users.keys()]).toEqual(["relay"]);
});

test("a Flex cluster needs several reads to be created and deleted", async () => {
  const providerSettings = { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" };
  const body = { name: "flex", providerSettings, tags: [], terminationProtectionEnabled: true };
  const made = await h.call("POST", "/flexClusters", body);
  expect(made).toMatchObject({
    status: 201,
    body: { stateName: "CREATING", providerSettings: { ...providerSettings, providerName: "FLEX", diskSizeGB: 5 } },
  });
  const read = async () => (await h.call("GET", "/flexClusters/flex")).body;
  expect([(await read()).stateName, (await read()).stateName]).toEqual(["CREATING", "CREATING"]);
  expect(await read()).toMatchObject({ stateName: "IDLE", connectionStrings: { standardSrv: h.mongo.uri } });
  expect(await h.call("POST", "/flexClusters", body)).toMatchObject({
    status: 400,
    body: { errorCode: "DUPLICATE_CLUSTER_NAME" },
  });
  expect((await h.call("DELETE", "/flexClusters/flex")).body.errorCode).toMatch(/TERMINATION_PROTECTION/);
  await h.call("PATCH", "/flexClusters/flex", { terminationProtectionEnabled: false });
  // A deletion during an update begins when that is over.
  expect((await h.call("DELETE", "/flexClusters/flex")).status).toBe(204);
  const states: unknown[] = [];
  for (let i = 0; i < 5; i++) states.push((await read()).stateName);
  expect(states).toEqual(["UPDATING", "UPDATING", "DELETING", "DELETING", "DELETING"]);
  expect(await h.call("GET", "/flexClusters/flex")).toMatchObject({
    status: 404,
    body: { errorCode: "CLUSTER_NOT_FOUND" },
  });
  const wrong = { ...body, name: "a b", providerSettings: { ...providerSettings, backingProviderName: "IBM" } };
  expect((await h.call("POST", "/flexClusters", wrong)).body.detail).toMatch(/name.*backingProviderName/);
});
