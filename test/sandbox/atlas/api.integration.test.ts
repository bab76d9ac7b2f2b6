import { statSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { authorization, type Harness, projectId, send, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

const group = `/api/atlas/v2/groups/${projectId}`;
const accept = "application/vnd.atlas.2023-01-01+json";

const user = {
  awsIAMType: "NONE",
  databaseName: "admin",
  groupId: projectId,
  labels: [],
  ldapAuthType: "NONE",
  oidcAuthType: "NONE",
  password: "p@ss:w/rd1",
  roles: [{ databaseName: "slm", roleName: "readWrite" }],
  scopes: [{ name: "main", type: "CLUSTER" }],
  username: "relay",
  x509Type: "NONE",
};

test("the first request is challenged, the second accepted; a nonce is not valid twice with one count", async () => {
  const first = await send(h.url, "GET", group, undefined, { accept });
  expect(first.status).toBe(401);
  const challenge = first.headers.get("www-authenticate") ?? "";
  expect(challenge).toMatch(
    /^Digest realm="MMS Public API", domain="", nonce="[0-9a-f]{32}", algorithm=MD5, qop="auth", stale=false$/,
  );
  const header = authorization(challenge, "GET", group);
  expect((await send(h.url, "GET", group, undefined, { accept, authorization: header })).status).toBe(200);
  const replay = await send(h.url, "GET", group, undefined, { accept, authorization: header });
  expect(replay.status).toBe(401);
  expect(replay.headers.get("www-authenticate")).toMatch(/stale=true/);
  const counted = authorization(challenge, "GET", group, {}, "00000002");
  expect((await send(h.url, "GET", group, undefined, { accept, authorization: counted })).status).toBe(200);
});

test.each([
  ["a wrong key", { privateKey: "other" }],
  ["an unknown user", { publicKey: "other" }],
  ["a nonce of its own", { spoil: (fields: Record<string, string>) => Object.assign(fields, { nonce: "abc" }) }],
  ["a spoilt response", { spoil: (fields: Record<string, string>) => Object.assign(fields, { response: "0" }) }],
])("%s is refused with a fresh challenge", async (_name, options) => {
  const answer = await h.call("GET", "", undefined, options);
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toMatch(/^Digest /);
  expect(answer.body).toMatchObject({ error: 401, reason: "Unauthorized" });
});

test("a digest that is right for another path or method is refused", async () => {
  const { headers } = await send(h.url, "GET", group, undefined, { accept });
  const challenge = headers.get("www-authenticate") ?? "";
  for (const header of [
    authorization(challenge, "GET", `${group}/clusters`),
    authorization(challenge, "POST", group),
  ]) {
    const answer = await send(h.url, "GET", group, undefined, { accept, authorization: header });
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toMatch(/stale=false/);
  }
});

test("a nonce that was never issued is refused even with a right response", async () => {
  const header = authorization('Digest realm="MMS Public API", nonce="abc"', "GET", group);
  const answer = await send(h.url, "GET", group, undefined, { accept, authorization: header });
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toMatch(/stale=true/);
});

test("a call without a version of the API is refused, and one from the future", async () => {
  expect(await h.call("GET", "", undefined, { accept: "application/json" })).toMatchObject({ status: 406 });
  const future = await h.call("GET", "", undefined, { accept: "application/vnd.atlas.2999-01-01+json" });
  expect(future).toMatchObject({ status: 400, body: { errorCode: "INVALID_VERSION_DATE" } });
});

test("the project is there, others are not", async () => {
  expect(await h.call("GET", "")).toMatchObject({ status: 200, body: { id: projectId } });
  expect((await h.call("GET", "/api/atlas/v2/groups")).body).toMatchObject({
    totalCount: 1,
    results: [{ id: projectId }],
  });
  const other = await h.call("GET", "/api/atlas/v2/groups/6f1f1f1f1f1f1f1f1f1f1f1f/clusters");
  expect(other).toMatchObject({ status: 404, body: { errorCode: "GROUP_NOT_FOUND" } });
  expect(await h.call("GET", "/serverless")).toMatchObject({ status: 404, body: { errorCode: "RESOURCE_NOT_FOUND" } });
  expect(await h.call("POST", "/clusters/main", {})).toMatchObject({ status: 405 });
});

test("the existing cluster is read with all the provider asks for", async () => {
  const { body } = await h.call("GET", "/clusters/main");
  expect(body).toMatchObject({
    name: "main",
    stateName: "IDLE",
    connectionStrings: { standard: h.mongo.uri, standardSrv: h.mongo.uri },
    replicationSpecs: [{ regionConfigs: [{ providerName: "AWS", regionName: "AP_NORTHEAST_2" }] }],
  });
  expect((await h.call("GET", "/clusters/main")).body).toEqual(body);
  expect((await h.call("GET", "/clusters/main/processArgs")).status).toBe(200);
  expect((await h.call("GET", "/containers?providerName=AWS")).body).toMatchObject({ totalCount: 1 });
  expect((await h.call("GET", "/containers?providerName=GCP")).body).toMatchObject({ totalCount: 0 });
  const missing = await h.call("GET", "/clusters/mian");
  expect(missing).toMatchObject({
    status: 404,
    body: { errorCode: "CLUSTER_NOT_FOUND", error: 404, reason: "Not Found" },
  });
});

test("a database user is made, changed, read without its password, and removed, in MongoDB too", async () => {
  const made = await h.call("POST", "/databaseUsers", user);
  expect(made).toMatchObject({ status: 201, body: { username: "relay", x509Type: "NONE", scopes: user.scopes } });
  expect(JSON.stringify(made.body)).not.toContain(user.password);
  const roles = [{ role: "readWrite", db: "slm" }];
  expect(h.mongo.users.get("relay")).toEqual({ password: user.password, roles });
  const path = "/databaseUsers/admin/relay";
  expect((await h.call("GET", path)).body).toEqual(made.body);
  expect((await h.call("GET", "/databaseUsers")).body).toMatchObject({ totalCount: 1 });
  const both = [...user.roles, { databaseName: "slm", roleName: "dbAdmin" }];
  expect((await h.call("PATCH", path, { roles: both })).body).toMatchObject({ roles: both });
  expect(h.mongo.users.get("relay")?.roles).toHaveLength(2);
  await h.call("PATCH", path, { password: "another-one" });
  expect(h.mongo.users.get("relay")?.password).toBe("another-one");
  expect(await h.call("DELETE", path)).toMatchObject({ status: 204, body: {} });
  expect(h.mongo.users.size).toBe(0);
  expect(await h.call("GET", path)).toMatchObject({ status: 404, body: { errorCode: "USERNAME_NOT_FOUND" } });
  expect(await h.call("DELETE", path)).toMatchObject({ status: 404 });
});

test("a user that is there already is refused with 409", async () => {
  await h.call("POST", "/databaseUsers", user);
  const again = await h.call("POST", "/databaseUsers", { ...user, password: "stolen-name" });
  expect(again).toMatchObject({ status: 409, body: { errorCode: "USER_ALREADY_EXISTS" } });
  expect(h.mongo.users.get("relay")?.password).toBe(user.password);
});

test.each([
  [{ password: "short" }, /password/],
  [{ password: undefined }, /required attribute password/],
  [{ databaseName: "slm" }, /databaseName/],
  [{ roles: [{ roleName: "owner", databaseName: "slm" }] }, /roles\.0\.roleName/],
  [{ roles: [{ roleName: "atlasAdmin", databaseName: "slm" }] }, /database "admin" only/],
  [{ roles: [{ roleName: "read", databaseName: "slm", collectionName: "c" }] }, /single collection/],
  [{ roles: [] }, /roles/],
  [{ awsIAMType: "ROLE" }, /awsIAMType/],
  [{ user: "x" }, /user/],
  [{ groupId: "6f1f1f1f1f1f1f1f1f1f1f1f" }, /groupId/],
])("a user with %o is refused", async (change, detail) => {
  const answer = await h.call("POST", "/databaseUsers", { ...user, ...change });
  expect(answer.status).toBe(400);
  expect(answer.body.detail).toMatch(detail);
  expect(h.mongo.users.size).toBe(0);
});

test("a user for another cluster takes effect when that cluster is there", async () => {
  await h.call("POST", "/databaseUsers", { ...user, scopes: [{ name: "flex", type: "CLUSTER" }] });
  expect(h.mongo.users.size).toBe(0);
  const providerSettings = { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" };
  await h.call("POST", "/flexClusters", { name: "flex", providerSettings });
  expect([...h.mongo.users.keys()]).toEqual(["relay"]);
});

test("a user that MongoDB refuses is an error, and does not stay behind", async () => {
  h.mongo.failWith = "no disk";
  const refused = await h.call("POST", "/databaseUsers", user);
  expect(refused).toMatchObject({ status: 500, body: { detail: expect.stringMatching(/no disk/) } });
  h.mongo.failWith = undefined;
  expect((await h.call("POST", "/databaseUsers", user)).status).toBe(201);
});

test("access-list entries are found by block and by address, and given to MongoDB", async () => {
  expect(h.mongo.accessList).toEqual([]);
  const made = await h.call("POST", "/accessList", [{ cidrBlock: "203.0.113.7/32", comment: "office" }]);
  expect(made).toMatchObject({ status: 201, body: { totalCount: 1, results: [{ ipAddress: "203.0.113.7" }] } });
  await h.call("POST", "/accessList", [{ ipAddress: "198.51.100.1" }, { cidrBlock: "2001:db8::/32" }]);
  expect(h.mongo.accessList).toEqual(["203.0.113.7/32", "198.51.100.1/32", "2001:db8::/32"]);
  const entry = { groupId: projectId, cidrBlock: "203.0.113.7/32", ipAddress: "203.0.113.7", comment: "office" };
  expect((await h.call("GET", "/accessList/203.0.113.7%2F32")).body).toMatchObject(entry);
  expect((await h.call("GET", "/accessList/203.0.113.7/status")).body).toEqual({ STATUS: "ACTIVE" });
  expect((await h.call("GET", "/accessList")).body).toMatchObject({ totalCount: 3 });
  expect((await h.call("DELETE", "/accessList/203.0.113.7")).status).toBe(204);
  expect(h.mongo.accessList).toEqual(["198.51.100.1/32", "2001:db8::/32"]);
  const gone = await h.call("GET", "/accessList/203.0.113.7%2F32");
  expect(gone).toMatchObject({ status: 404, body: { errorCode: "ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND" } });
});

test.each([
  ["203.0.113.7", /CIDR notation/],
  ["203.0.113.7/24", /bits set/],
  ["203.0.113.0/33", /CIDR notation|bits/],
  ["203.0.113/24", /CIDR notation/],
  ["2001:db8::1/32", /bits set/],
  ["0.0.0.0/0/0", /CIDR notation/],
])("the block %s is refused", async (cidrBlock, detail) => {
  const answer = await h.call("POST", "/accessList", [{ cidrBlock }]);
  expect(answer.status).toBe(400);
  expect(answer.body.detail).toMatch(detail);
  expect(h.mongo.accessList).toEqual([]);
});

test("an entry is a block or an address, not both and not none", async () => {
  const both = { cidrBlock: "203.0.113.7/32", ipAddress: "203.0.113.7" };
  expect(await h.call("POST", "/accessList", [both])).toMatchObject({ status: 400 });
  expect(await h.call("POST", "/accessList", [{ comment: "x" }])).toMatchObject({ status: 400 });
  expect(await h.call("POST", "/accessList", [{ ipAddress: "203.0.113" }])).toMatchObject({ status: 400 });
  expect(await h.call("POST", "/accessList", {})).toMatchObject({ status: 400 });
});

test("after a restart users and access list are put into effect before the API answers", async () => {
  await h.call("POST", "/databaseUsers", user);
  await h.call("POST", "/accessList", [{ cidrBlock: "203.0.113.0/24" }]);
  const fresh = await h.restart();
  expect(statSync(h.statePath).mode & 0o777).toBe(0o600);
  expect(fresh.users.get("relay")?.password).toBe(user.password);
  expect(fresh.accessList).toEqual(["203.0.113.0/24"]);
  expect((await h.call("DELETE", "/databaseUsers/admin/relay")).status).toBe(204);
  expect(fresh.users.size).toBe(0);
  expect(h.lines.join("\n")).not.toContain(user.password);
});
