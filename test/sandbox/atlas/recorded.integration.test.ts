/**
 * What the official Atlas provider (4.x) was recorded to send in November 2026, call by call, so that a binary from outside
 * (`SANDBOX_PROVIDERS=installed`) meets an API that takes it.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Harness, projectId, send, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness({ delays: { clusterPolls: 1 } });
});
afterEach(() => h.close());

const version = (date: string) => ({ accept: `application/vnd.atlas.${date}+json` });

test("the challenge before every call", async () => {
  const path = `/api/atlas/v2/groups/${projectId}/databaseUsers/admin/relay`;
  const { status, headers } = await send(h.url, "GET", path, undefined, version("2023-01-01"));
  expect(status).toBe(401);
  expect(headers.get("www-authenticate")).toMatch(
    /^Digest realm="MMS Public API", domain="", nonce="[^"]+", algorithm=MD5, qop="auth", stale=false$/,
  );
});

test("an existing cluster, with the two readings that follow it", async () => {
  const cluster = await h.call("GET", "/clusters/main", undefined, version("2024-08-05"));
  expect(cluster).toMatchObject({
    status: 200,
    body: {
      groupId: projectId,
      name: "main",
      clusterType: "REPLICASET",
      stateName: "IDLE",
      connectionStrings: { standard: h.mongo.uri, standardSrv: h.mongo.uri },
      replicationSpecs: [
        {
          zoneName: "Zone 1",
          regionConfigs: [
            {
              providerName: "AWS",
              regionName: "AP_NORTHEAST_2",
              priority: 7,
              electableSpecs: { instanceSize: "M10", nodeCount: 3 },
            },
          ],
        },
      ],
      labels: [],
      tags: [],
    },
  });
  for (const field of [
    "id",
    "mongoDBVersion",
    "mongoDBMajorVersion",
    "createDate",
    "biConnector",
    "advancedConfiguration",
  ])
    expect(cluster.body, field).toHaveProperty(field);
  const containers = await h.call("GET", "/containers?providerName=AWS", undefined, version("2023-01-01"));
  expect(containers.body).toMatchObject({ totalCount: 1, results: [{ providerName: "AWS", provisioned: true }] });
  expect((await h.call("GET", "/clusters/main/processArgs", undefined, version("2024-08-05"))).status).toBe(200);
  expect(await h.call("GET", "/clusters/none", undefined, version("2024-08-05"))).toMatchObject({
    status: 404,
    body: { error: 404, errorCode: "CLUSTER_NOT_FOUND", reason: "Not Found" },
  });
});

test("an access-list entry: made as a list, read with %2F, removed by its address, gone at the next reading", async () => {
  const made = await h.call(
    "POST",
    "/accessList",
    [{ cidrBlock: "203.0.113.7/32", comment: "office" }],
    version("2023-01-01"),
  );
  expect(made).toMatchObject({
    status: 201,
    body: { totalCount: 1, results: [{ groupId: projectId, cidrBlock: "203.0.113.7/32", comment: "office" }] },
  });
  const read = () => h.call("GET", "/accessList/203.0.113.7%2F32", undefined, version("2023-01-01"));
  expect((await read()).body).toMatchObject({
    groupId: projectId,
    cidrBlock: "203.0.113.7/32",
    ipAddress: "203.0.113.7",
    comment: "office",
  });
  expect((await h.call("DELETE", "/accessList/203.0.113.7", undefined, version("2023-01-01"))).status).toBe(204);
  expect((await read()).status).toBe(404);
});

test("a database user: every field that is sent, the password never shown", async () => {
  const none = { awsIAMType: "NONE", ldapAuthType: "NONE", oidcAuthType: "NONE", x509Type: "NONE" };
  const body = {
    ...none,
    databaseName: "admin",
    groupId: projectId,
    labels: [],
    password: "password-1",
    roles: [{ databaseName: "slm", roleName: "readWrite" }],
    scopes: [{ name: "main", type: "CLUSTER" }],
    username: "relay",
  };
  const { password: _, ...shown } = body;
  const made = await h.call("POST", "/databaseUsers", body, version("2023-01-01"));
  expect(made).toMatchObject({ status: 201, body: shown });
  expect(made.body).not.toHaveProperty("password");
  const path = "/databaseUsers/admin/relay";
  const read = await h.call("GET", path, undefined, version("2023-01-01"));
  expect(read.body).toMatchObject(shown);
  expect(read.body).not.toHaveProperty("password");
  const roles = [{ databaseName: "slm", roleName: "dbAdmin" }];
  const changed = await h.call("PATCH", path, { ...body, roles }, version("2023-01-01"));
  expect(changed).toMatchObject({ status: 200, body: { roles } });
  expect((await h.call("DELETE", path, undefined, version("2023-01-01"))).status).toBe(204);
  expect((await h.call("GET", path, undefined, version("2023-01-01"))).status).toBe(404);
});

test("a Flex cluster: polled until it is idle, and until it is gone", async () => {
  const providerSettings = { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" };
  const body = { name: "flex", providerSettings, tags: [], terminationProtectionEnabled: false };
  const made = await h.call("POST", "/flexClusters", body, version("2024-11-13"));
  expect(made).toMatchObject({
    status: 201,
    body: { name: "flex", groupId: projectId, providerSettings: { ...providerSettings, providerName: "FLEX" } },
  });
  for (const field of [
    ...["id", "clusterType", "createDate", "mongoDBVersion", "stateName", "versionReleaseSystem", "backupSettings"],
    ...["connectionStrings", "providerSettings.diskSizeGB"],
  ]) {
    expect(made.body, field).toHaveProperty(field);
  }
  const read = () => h.call("GET", "/flexClusters/flex", undefined, version("2024-11-13"));
  const states = [(await read()).body.stateName, (await read()).body.stateName];
  expect(states).toEqual(["CREATING", "IDLE"]);
  expect((await read()).body.connectionStrings).toEqual({ standard: h.mongo.uri, standardSrv: h.mongo.uri });
  expect((await h.call("DELETE", "/flexClusters/flex", undefined, version("2024-11-13"))).status).toBe(204);
  expect([(await read()).status, (await read()).status]).toEqual([200, 404]);
});
