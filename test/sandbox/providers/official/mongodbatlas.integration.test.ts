/** Rows 1, 5, 12 to 14, 16 to 18, 20 and 21: the mongodbatlas plugin. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { decodeStateId, encodeStateId } from "../../../../sandbox/providers/mongodbatlas/ids.ts";
import { type Props, Secret } from "../../../../sandbox/providers/plugin/values.ts";
import { type Answer, type Asked, type JsonServer, jsonServer } from "../json-server.ts";
import { type Plugin, startPlugin } from "../plugin.ts";
import { clock, pausesBetween, timeout } from "./clock.ts";

const project = "64f0c0ffee0123456789abcd";
const clusterId = "64f0c0ffee0123456789ffff";
const group = `/api/atlas/v2/groups/${project}`;
const typeOf = (name: string) => `mongodbatlas:index/${name}:${name.charAt(0).toUpperCase()}${name.slice(1)}`;
const flex = typeOf("flexCluster");
const user = typeOf("databaseUser");
const entry = typeOf("projectIpAccessList");

const failed = (status: number, errorCode: string, detail: string): Answer => ({
  status,
  body: { error: status, errorCode, detail, reason: "Reason", parameters: ["p"] },
});

let api: JsonServer;
let plugin: Plugin;
let answer: (asked: Asked) => Answer;
let posts: number[];
/** The calls after digest's unauthenticated round. */
const calls = () => api.asked.filter(({ headers }) => headers.authorization !== undefined);
const lines = () => calls().map(({ method, path }) => `${method} ${path.slice(group.length)}`);

beforeAll(async () => {
  api = await jsonServer((asked) => {
    if (asked.headers.authorization === undefined) {
      const challenge = 'Digest realm="MMS Public API", domain="", nonce="n", algorithm=MD5, qop="auth", stale=false';
      return { status: 401, headers: { "www-authenticate": challenge } };
    }
    if (asked.method === "POST") posts.push(Date.now());
    return answer(asked);
  });
  plugin = await startPlugin("mongodbatlas", {
    ...clock,
    MONGODB_ATLAS_PUBLIC_KEY: "public",
    MONGODB_ATLAS_PRIVATE_KEY: "private",
    MONGODB_ATLAS_BASE_URL: `${api.url}/`,
  });
  await plugin.configure({});
});
afterAll(async () => {
  await plugin.stop();
  await api.close();
});
beforeEach(() => {
  api.asked.length = 0;
  posts = [];
});

const flexInputs: Props = {
  projectId: project,
  name: "slm",
  providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
};
const flexWire = (stateName: string) => ({
  id: clusterId,
  groupId: project,
  name: "slm",
  clusterType: "REPLICASET",
  createDate: "2026-11-28T00:00:00Z",
  mongoDBVersion: "8.0.1",
  stateName,
  versionReleaseSystem: "LTS",
  backupSettings: { enabled: true },
  connectionStrings: { standard: "mongodb://x", standardSrv: "mongodb+srv://x" },
  providerSettings: {
    backingProviderName: "AWS",
    regionName: "AP_NORTHEAST_2",
    providerName: "FLEX",
    diskSizeGB: 5,
  },
  tags: [],
  terminationProtectionEnabled: false,
});
const userInputs: Props = {
  projectId: project,
  username: "relay",
  authDatabaseName: "admin",
  password: new Secret("password-1"),
  roles: [{ roleName: "readWrite", databaseName: "slm" }],
};
const userWire = {
  username: "relay",
  databaseName: "admin",
  groupId: project,
  roles: [{ roleName: "readWrite", databaseName: "slm" }],
  labels: [],
  scopes: [],
  awsIAMType: "NONE",
  ldapAuthType: "NONE",
  oidcAuthType: "NONE",
  x509Type: "NONE",
};
const entryWire = { groupId: project, cidrBlock: "203.0.113.7/32", ipAddress: "203.0.113.7", comment: "office" };
const entryInputs: Props = { projectId: project, cidrBlock: "203.0.113.7/32", comment: "office" };

describe("row 1: DELETE answered 404", () => {
  it.each([
    [user, "databaseUsers", { ...userInputs, password: "x" }],
    [flex, "flexClusters", { ...flexInputs, clusterId }],
  ])("is an error for %s", async (type, _path, state: Props) => {
    answer = () => failed(404, "RESOURCE_NOT_FOUND", "gone");
    const id =
      type === flex
        ? clusterId
        : encodeStateId({ project_id: project, username: "relay", auth_database_name: "admin" });
    await expect(plugin.delete(type, id, state)).rejects.toThrow(
      /HTTP 404 Not Found \(Error code: "RESOURCE_NOT_FOUND"\)/,
    );
  });

  it(
    "is success for an access list entry",
    async () => {
      answer = () => failed(404, "ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND", "gone");
      const id = encodeStateId({ entry: "203.0.113.7/32", project_id: project });
      await plugin.delete(entry, id, { ...entryInputs, ipAddress: "203.0.113.7" });
      expect(lines()[0]).toBe("DELETE /accessList/203.0.113.7");
    },
    timeout,
  );
});

describe("row 5: a Flex cluster whose creation fails while waiting", () => {
  it(
    "leaves no state after an error of a poll",
    async () => {
      answer = ({ method }) =>
        method === "POST" ? { status: 201, body: flexWire("CREATING") } : failed(500, "UNEXPECTED_ERROR", "later");
      const error = await plugin.create(flex, flexInputs).catch((thrown: unknown) => thrown);
      expect(String(error)).toMatch(/HTTP 500 Internal Server Error \(Error code: "UNEXPECTED_ERROR"\) Detail: later/);
      expect(
        (error as { metadata?: { get(name: string): unknown[] } }).metadata?.get("grpc-status-details-bin"),
      ).toEqual([]);
      expect(lines()).not.toContain("DELETE /flexClusters/slm");
    },
    timeout,
  );

  it(
    "deletes the cluster on a time-out",
    async () => {
      answer = ({ method }) => ({ status: method === "POST" ? 201 : 200, body: flexWire("CREATING") });
      await expect(plugin.create(flex, { ...flexInputs, timeouts: { create: "5s" } })).rejects.toThrow(
        /delete_on_create_timeout/,
      );
      expect(lines()).toContain("DELETE /flexClusters/slm");
    },
    timeout,
  );
});

describe("rows 12 and 13: credentials", () => {
  const started = async (environment: Record<string, string>, work: (started: Plugin) => Promise<void>) => {
    const other = await startPlugin("mongodbatlas", {
      ...clock,
      MONGODB_ATLAS_BASE_URL: `${api.url}/`,
      ...environment,
    });
    try {
      await work(other);
    } finally {
      await other.stop();
    }
  };

  it("takes an access token before a key", async () => {
    answer = () => ({ body: userWire });
    const environment = {
      MONGODB_ATLAS_ACCESS_TOKEN: "token",
      MONGODB_ATLAS_PUBLIC_KEY: "public",
      MONGODB_ATLAS_PRIVATE_KEY: "private",
    };
    await started(environment, async (other) => {
      await other.configure({});
      await other.create(user, userInputs);
      expect(calls().at(-1)?.headers.authorization).toBe("Bearer token");
    });
  });

  it("takes MONGODB_ATLAS_PUBLIC_API_KEY before MONGODB_ATLAS_PUBLIC_KEY", async () => {
    answer = () => ({ body: userWire });
    const environment = {
      MONGODB_ATLAS_PUBLIC_API_KEY: "first",
      MONGODB_ATLAS_PRIVATE_API_KEY: "secret",
      MONGODB_ATLAS_PUBLIC_KEY: "second",
      MONGODB_ATLAS_PRIVATE_KEY: "secret",
    };
    await started(environment, async (other) => {
      await other.configure({});
      await other.create(user, userInputs);
      expect(calls().at(-1)?.headers.authorization).toContain('username="first"');
    });
  });

  it("refuses half of a pair", async () => {
    await started({ MONGODB_ATLAS_PRIVATE_KEY: "private" }, async (other) => {
      await expect(other.configure({})).rejects.toThrow("API Key will be used but Public Key is required");
    });
  });
});

describe("row 14: an access list entry", () => {
  it(
    "waits ten seconds, repeats the POST after a 500, and polls every ten seconds",
    async () => {
      const started = Date.now();
      answer = ({ method }) => {
        if (method !== "POST") return { body: entryWire };
        return posts.length < 3 ? failed(500, "UNEXPECTED_ERROR", "Unexpected error") : { status: 201, body: {} };
      };
      await plugin.create(entry, entryInputs);
      expect(posts).toHaveLength(3);
      for (const ms of pausesBetween([started, ...posts])) expect(ms).toBeGreaterThan(9_000);
    },
    timeout,
  );

  it(
    "is created after the one before it",
    async () => {
      let open = 0;
      let most = 0;
      const created = new Set<string>();
      answer = ({ method, path, body }) => {
        if (method === "POST") {
          most = Math.max(most, ++open);
          created.add((body as { cidrBlock: string }[])[0]?.cidrBlock ?? "");
          return { status: 201, body: {} };
        }
        const cidrBlock = decodeURIComponent(path.split("/").at(-1) ?? "");
        open -= 1;
        return { body: { groupId: project, cidrBlock, comment: "office" } };
      };
      const blocks = ["203.0.113.0/28", "203.0.113.16/28", "203.0.113.32/28"];
      await Promise.all(blocks.map((cidrBlock) => plugin.create(entry, { ...entryInputs, cidrBlock })));
      expect([...created].sort()).toEqual(blocks.toSorted());
      expect(most).toBe(1);
    },
    timeout,
  );
});

it("row 16: a database user's password is sent only when it changed", async () => {
  answer = () => ({ body: userWire });
  const { id, state } = await plugin.create(user, userInputs);
  const roles = [{ roleName: "read", databaseName: "slm" }];
  await plugin.update(user, id, state, userInputs, { ...userInputs, roles });
  expect(calls().findLast(({ method }) => method === "PATCH")?.body).not.toHaveProperty("password");
  await plugin.update(user, id, state, userInputs, { ...userInputs, password: new Secret("password-2") });
  expect(calls().findLast(({ method }) => method === "PATCH")?.body).toMatchObject({ password: "password-2" });
});

describe("rows 17 and 18: ids", () => {
  it(
    "are base64 pairs for a user and an entry, and the cluster's own for Flex",
    async () => {
      answer = ({ path }) => {
        if (path.includes("flexClusters")) return { body: flexWire("IDLE") };
        return { body: path.includes("accessList") ? entryWire : userWire };
      };
      expect(decodeStateId((await plugin.create(user, userInputs)).id)).toEqual({
        project_id: project,
        username: "relay",
        auth_database_name: "admin",
      });
      expect(decodeStateId((await plugin.create(entry, entryInputs)).id)).toEqual({
        entry: "203.0.113.7/32",
        project_id: project,
      });
      expect((await plugin.create(flex, flexInputs)).id).toBe(clusterId);
    },
    timeout,
  );

  it.each([
    [flex, `${project}-slm`, "GET /flexClusters/slm"],
    [entry, `${project}-203.0.113.7/32`, "GET /accessList/203.0.113.7%2F32"],
    [user, `${project}-relay-admin`, "GET /databaseUsers/admin/relay"],
    [user, `${project}/relay/admin`, "GET /databaseUsers/admin/relay"],
  ])("imports %s as %s", async (type, id, line) => {
    answer = () => ({ body: type === flex ? flexWire("IDLE") : type === entry ? entryWire : userWire });
    const found = await plugin.read(type, id);
    expect(lines()[0]).toBe(line);
    expect(found.inputs.projectId).toBe(project);
  });

  it("refuses another form", async () => {
    await expect(plugin.read(entry, "203.0.113.7")).rejects.toThrow(/import format error/);
  });
});

it("row 20: a deletion while the cluster is UPDATING fails", async () => {
  answer = ({ method }) => (method === "DELETE" ? { status: 204 } : { body: flexWire("UPDATING") });
  await expect(plugin.delete(flex, clusterId, { ...flexInputs })).rejects.toThrow(
    /unexpected state 'UPDATING', wanted target 'DELETED'/,
  );
});

it("row 21: an error has the URL, status, code and detail in the official form", async () => {
  answer = () => failed(409, "USER_ALREADY_EXISTS", "The specified user already exists.");
  await expect(plugin.create(user, userInputs)).rejects.toThrow(
    /http:\/\/127\.0\.0\.1:\d+\/api\/atlas\/v2\/groups\/\w+\/databaseUsers POST: HTTP 409 Conflict \(Error code: "USER_ALREADY_EXISTS"\) Detail: The specified user already exists\. Reason: Reason\. Params: \[p\]/,
  );
});
