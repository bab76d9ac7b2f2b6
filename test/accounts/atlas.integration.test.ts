import { afterEach, expect, test } from "vitest";
import { atlasLookups } from "../../accounts/atlas.ts";
import { atlasFailure } from "../../accounts/atlas-failure.ts";
import type { LookupFailure, LookupResult } from "../../accounts/lookup-result.ts";
import { Faults } from "../../sandbox/http/faults.ts";
import { type Harness, projectId, startHarness } from "../sandbox/atlas/harness.ts";

let h: Harness | undefined;
afterEach(async () => {
  await h?.close();
  h = undefined;
});

const lookups = (harness: Harness, publicKey: string | undefined = "public", privateKey = "private") =>
  atlasLookups({ publicKey, privateKey, baseUrl: harness.url });

function value<T>(answer: LookupResult<T>): T {
  if (!answer.ok) throw new Error(`expected an answer: ${JSON.stringify(answer.failure)}`);
  return answer.value;
}
function failure(answer: LookupResult<unknown>): LookupFailure {
  if (answer.ok) throw new Error(`expected a failure: ${JSON.stringify(answer.value)}`);
  return answer.failure;
}

test("projects, clusters of both kinds, users, the access list, and this machine's address", async () => {
  h = await startHarness({ publicAddress: "203.0.113.9", conditions: { clusterPaused: true } });
  const atlas = lookups(h);
  expect(value(await atlas.projects())).toMatchObject([{ id: projectId, name: "sandbox" }]);
  expect(value(await atlas.project(projectId))).toMatchObject({ id: projectId });
  await h.call("POST", "/flexClusters", {
    name: "small",
    providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
  });
  expect(value(await atlas.clusters(projectId))).toMatchObject([
    { name: "main", kind: "dedicated", state: "IDLE", paused: true, region: "AWS AP_NORTHEAST_2", size: "M10" },
    { name: "small", kind: "flex", state: "CREATING", paused: false, region: "AWS AP_NORTHEAST_2" },
  ]);
  await h.call("POST", "/databaseUsers", {
    username: "relay",
    databaseName: "admin",
    password: "long-enough-password",
    roles: [{ roleName: "readWrite", databaseName: "slm" }],
    scopes: [{ name: "main", type: "CLUSTER" }],
  });
  expect(value(await atlas.databaseUsers(projectId))).toEqual([
    { username: "relay", databaseName: "admin", roles: ["readWrite@slm"], clusters: ["main"] },
  ]);
  await h.call("POST", "/accessList", [{ cidrBlock: "203.0.113.7/32", comment: "office" }]);
  expect(value(await atlas.accessList(projectId))).toEqual([{ cidrBlock: "203.0.113.7/32", comment: "office" }]);
  expect(value(await atlas.publicAddress())).toBe("203.0.113.9");
});

test("questions at the same time do not spoil each other's digest", async () => {
  h = await startHarness();
  const atlas = lookups(h);
  const answers = await Promise.all(Array.from({ length: 12 }, () => atlas.projects()));
  for (const answer of answers) expect(value(answer)).toHaveLength(1);
});

test("lists are read to their last page", async () => {
  h = await startHarness();
  const entries = Array.from({ length: 1100 }, (_, n) => ({ cidrBlock: `10.${n >> 8}.${n & 255}.0/24` }));
  await h.call("POST", "/accessList", entries);
  expect(value(await lookups(h).accessList(projectId)).map(({ cidrBlock }) => cidrBlock)).toEqual(
    entries.map(({ cidrBlock }) => cidrBlock),
  );
});

test("keys: none, wrong, not allowed from here, of another project", async () => {
  h = await startHarness({ publicAddress: "203.0.113.9", conditions: { keyAddressAllowed: false } });
  expect(failure(await atlasLookups({ publicKey: "p", privateKey: undefined }).projects())).toMatchObject({
    kind: "no-credentials",
  });
  expect(failure(await lookups(h, "public", "wrong").projects())).toMatchObject({ kind: "credentials", status: 401 });
  expect(failure(await lookups(h).projects())).toMatchObject({
    kind: "address",
    address: "203.0.113.9",
    codes: ["IP_ADDRESS_NOT_ON_ACCESS_LIST"],
  });
  // The address itself is told to everybody: it is what has to go onto the list.
  expect(value(await lookups(h).publicAddress())).toBe("203.0.113.9");
  await h.close();
  h = await startHarness();
  expect(failure(await lookups(h).project("0".repeat(24)))).toMatchObject({ kind: "not-found" });
});

test("a missing answer is distinguished from a refusal", async () => {
  const nobody = atlasLookups({ publicKey: "p", privateKey: "q", baseUrl: "http://127.0.0.1:9/" });
  const { kind, reason } = failure(await nobody.projects());
  expect(kind).toBe("unreachable");
  expect(reason).toContain("http://127.0.0.1:9");
  const faults = new Faults();
  faults.add({ path: "groups", status: 503, times: 5 });
  faults.add({ path: "groups", status: 429, times: 1 });
  h = await startHarness({ faults });
  expect(failure(await lookups(h).clusters(projectId))).toMatchObject({ kind: "unreachable", status: 503 });
});

test.each([
  [401, "UNAUTHORIZED", "credentials"],
  [401, "USER_UNAUTHORIZED", "permission"],
  [403, "USER_CANNOT_ACCESS_GROUP", "permission"],
  [403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", "address"],
  [404, "GROUP_NOT_FOUND", "not-found"],
  [429, "RATE_LIMITED", "limited"],
  [409, "CANNOT_PAUSE_RECENTLY_RESUMED_CLUSTER", "refused"],
  [500, "UNEXPECTED_ERROR", "unreachable"],
] as const)("%i %s is %s", (status, errorCode, kind) => {
  const text = JSON.stringify({ error: status, errorCode, detail: "why", parameters: [] });
  expect(atlasFailure(status, text, "the clusters")).toMatchObject({ kind, reason: "why", codes: [errorCode] });
});

test("a service account: one token for all questions, sent as Bearer", async () => {
  const serviceAccount = { clientId: "mdb_sa_id_1", clientSecret: "mdb_sa_sk_:/%&" };
  h = await startHarness({ serviceAccount });
  const atlas = atlasLookups({ ...serviceAccount, baseUrl: h.url });
  const answers = await Promise.all([atlas.projects(), atlas.projects(), atlas.projects()]);
  for (const answer of answers) expect(value(answer)).toMatchObject([{ id: projectId }]);
  expect(value(await atlas.mayWrite(projectId))).toBe(true);
  expect(h.lines.filter((line) => line.includes("/api/oauth/token"))).toEqual(["atlas: POST /api/oauth/token → 200"]);
});

test.each([
  ["a wrong secret", { clientId: "mdb_sa_id_1", clientSecret: "wrong" }],
  ["an unknown id", { clientId: "other", clientSecret: "right" }],
])("a service account with %s is told apart from a missing permission", async (_what, account) => {
  h = await startHarness({ serviceAccount: { clientId: "mdb_sa_id_1", clientSecret: "right" } });
  const found = failure(await atlasLookups({ ...account, baseUrl: h.url }).project(projectId));
  expect(found).toMatchObject({ kind: "credentials", status: 401, reason: "Invalid client credentials." });
});

test("an access token that has ended is no valid credential", async () => {
  h = await startHarness();
  const found = failure(await atlasLookups({ accessToken: "ended", baseUrl: h.url }).project(projectId));
  expect(found).toMatchObject({ kind: "credentials", status: 401 });
});
