import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { authorization, parseChallenge } from "../../../sandbox/providers/mongodbatlas/digest.ts";
import { type Props, Secret } from "../../../sandbox/providers/plugin/values.ts";
import { type Answer, type Asked, type JsonServer, jsonServer } from "./json-server.ts";
import { type Plugin, startPlugin } from "./plugin.ts";

const project = "5".repeat(24);
const group = `/api/atlas/v2/groups/${project}`;
const user = "mongodbatlas:index/databaseUser:DatabaseUser";
const accessList = "mongodbatlas:index/projectIpAccessList:ProjectIpAccessList";
const flex = "mongodbatlas:index/flexCluster:FlexCluster";

const store = new Map<string, Record<string, unknown>>();
/** Reads until a new Flex cluster is idle; Infinity: never. */
let pollsUntilIdle = 0;
const notFound: Answer = {
  status: 404,
  body: { error: 404, errorCode: "RESOURCE_NOT_FOUND", detail: "nothing there", reason: "Not Found" },
};

/** Checks the digest as RFC 7616 has it; the key pair is pub/priv. */
function signed({ method, path, headers }: Asked): boolean {
  const given = parseChallenge(headers.authorization ?? null);
  if (!given) return false;
  const md5 = (text: string) => createHash("md5").update(text).digest("hex");
  const parts = [
    md5("pub:MMS Public API:priv"),
    "n1",
    given.get("nc"),
    given.get("cnonce"),
    "auth",
    md5(`${method}:${path}`),
  ];
  return given.get("uri") === path && given.get("response") === md5(parts.join(":"));
}

function answer(asked: Asked): Answer {
  const { method, path } = asked;
  if (!signed(asked)) {
    const challenge = 'Digest realm="MMS Public API", domain="", nonce="n1", algorithm=MD5, qop="auth", stale=false';
    return { status: 401, headers: { "www-authenticate": challenge }, body: {} };
  }
  const body = (asked.body ?? {}) as Record<string, unknown>;
  if (method === "POST" && path === `${group}/accessList`) {
    for (const entry of asked.body as Record<string, string>[]) {
      const ipAddress = entry.cidrBlock?.endsWith("/32") ? entry.cidrBlock.slice(0, -3) : undefined;
      store.set(`${group}/accessList/${encodeURIComponent(entry.cidrBlock ?? "")}`, {
        groupId: project,
        ...entry,
        ipAddress,
      });
    }
    return { status: 201, body: { results: [], totalCount: 1 } };
  }
  if (method === "POST" && path === `${group}/databaseUsers`) {
    const { password: _, ...shown } = body;
    const key = `${group}/databaseUsers/${String(body.databaseName)}/${encodeURIComponent(String(body.username))}`;
    if (store.has(key))
      return { status: 409, body: { error: 409, errorCode: "USER_ALREADY_EXISTS", detail: "there is one" } };
    store.set(key, shown);
    return { status: 201, body: shown };
  }
  if (method === "POST" && path === `${group}/flexClusters`) {
    const cluster = { ...body, groupId: project, id: "c1", stateName: "CREATING", mongoDBVersion: "8.0", polls: 0 };
    store.set(`${group}/flexClusters/${String(body.name)}`, cluster);
    return { status: 201, body: cluster };
  }
  const key = method === "DELETE" && path.includes("accessList") ? `${path}%2F32` : path;
  const found = store.get(key);
  if (path === `${group}/clusters/small`) {
    return { status: 400, body: { error: 400, errorCode: "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API", detail: "no" } };
  }
  if (!found) return notFound;
  if (method === "DELETE") store.delete(key);
  if (method === "PATCH") store.set(key, { ...found, ...body });
  if (path.includes("/flexClusters/") && method === "GET") {
    found.polls = Number(found.polls) + 1;
    if (Number(found.polls) > pollsUntilIdle) {
      Object.assign(found, {
        stateName: "IDLE",
        connectionStrings: { standard: "mongodb://a", standardSrv: "mongodb+srv://a" },
      });
    }
  }
  return { body: store.get(key) ?? {} };
}

let api: JsonServer;
let plugin: Plugin;
beforeAll(async () => {
  api = await jsonServer(answer);
  plugin = await startPlugin("mongodbatlas", {
    MONGODB_ATLAS_PUBLIC_KEY: "pub",
    MONGODB_ATLAS_PRIVATE_KEY: "priv",
    MONGODB_ATLAS_BASE_URL: `${api.url}/`,
  });
  await plugin.configure({});
});
afterAll(async () => {
  await plugin.stop();
  await api.close();
});
beforeEach(() => {
  store.clear();
  api.asked.length = 0;
  pollsUntilIdle = 0;
});

/** Requests that carried a digest. */
const signedRequests = () => api.asked.filter(({ headers }) => headers.authorization !== undefined);

const userInputs: Props = {
  projectId: project,
  authDatabaseName: "admin",
  username: "relay user",
  password: new Secret("p@:/word"),
  roles: [{ databaseName: "slm", roleName: "readWrite" }],
  scopes: [{ name: "main", type: "CLUSTER" }],
};

it("answers a digest challenge with the response of RFC 7616, section 3.9.1", () => {
  const challenge = parseChallenge(
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"',
  );
  const credentials = { username: "Mufasa", password: "Circle of Life" };
  const header = authorization(
    challenge ?? new Map(),
    credentials,
    "GET",
    "/dir/index.html",
    "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
  );
  expect(header).toContain('response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"');
});

describe("a database user", () => {
  it("sends what the official provider sends, first without credentials, and finds no drift after", async () => {
    const { inputs } = await plugin.check(user, userInputs);
    const made = await plugin.create(user, inputs);
    expect(api.asked.map(({ headers }) => headers.authorization?.slice(0, 6))).toEqual([undefined, "Digest"]);
    expect(api.asked[1]?.headers.accept).toBe("application/vnd.atlas.2023-01-01+json");
    expect(api.asked[1]?.body).toEqual({
      awsIAMType: "NONE",
      databaseName: "admin",
      groupId: project,
      labels: [],
      ldapAuthType: "NONE",
      oidcAuthType: "NONE",
      password: "p@:/word",
      roles: [{ databaseName: "slm", roleName: "readWrite" }],
      scopes: [{ name: "main", type: "CLUSTER" }],
      username: "relay user",
      x509Type: "NONE",
    });
    expect(made.state.password).toEqual(new Secret("p@:/word"));
    const found = await plugin.read(user, made.id, made.state, inputs);
    expect(found).toEqual({ id: made.id, state: made.state, inputs });
    expect((await plugin.diff(user, made.id, made.state, inputs, inputs)).changes).toBe(false);
  });

  it("shows a role that was added by hand, and is found gone when removed", async () => {
    const { id, state } = await plugin.create(user, userInputs);
    const key = [...store.keys()][0] ?? "";
    const roles = [
      { databaseName: "admin", roleName: "atlasAdmin" },
      { databaseName: "slm", roleName: "readWrite" },
    ];
    store.set(key, { ...store.get(key), roles });
    const found = await plugin.read(user, id, state, userInputs);
    const { changes } = await plugin.diff(user, id, found.state, found.inputs, userInputs);
    expect({ roles: found.inputs.roles, changes }).toEqual({ roles, changes: true });
    store.clear();
    expect((await plugin.read(user, id, state, userInputs)).id).toBe("");
  });

  it("changes in place, but for its name and its project", async () => {
    const { id, state } = await plugin.create(user, userInputs);
    const news = { ...userInputs, password: new Secret("other") };
    expect(await plugin.diff(user, id, state, userInputs, news)).toMatchObject({
      detailed: { password: "update" },
      replaces: [],
    });
    expect((await plugin.update(user, id, state, userInputs, news)).password).toEqual(new Secret("other"));
    expect(signedRequests().at(-1)).toMatchObject({
      method: "PATCH",
      path: `${group}/databaseUsers/admin/relay%20user`,
    });
    expect((await plugin.diff(user, id, state, userInputs, { ...userInputs, username: "x" })).replaces).toEqual([
      "username",
    ]);
    await plugin.delete(user, id, state);
    expect(store.size).toBe(0);
  });

  it("has one way of signing in, and a version beside a password that is only written", async () => {
    const { password: _, ...without } = userInputs;
    expect((await plugin.check(user, { ...userInputs, x509Type: "MANAGED" })).failures).toEqual([
      "password: x509Type is given, too, and they exclude each other",
    ]);
    expect((await plugin.check(user, { ...without, passwordWo: "x" })).failures).toEqual([
      "passwordWo: passwordWoVersion must be given with it: give both or neither",
    ]);
    expect((await plugin.check(user, { ...without, awsIamType: "GROUP" })).failures).toEqual([
      expect.stringMatching(/^awsIamType: "GROUP" is not one of NONE, USER, ROLE/),
    ]);
  });

  it("passes on Atlas' error", async () => {
    await plugin.create(user, userInputs);
    await expect(plugin.create(user, userInputs)).rejects.toThrow(
      /databaseUsers POST: HTTP 409 Conflict \(Error code: "USER_ALREADY_EXISTS"\) Detail: there is one/,
    );
  });

  it("is imported by project, name and database", async () => {
    await plugin.create(user, userInputs);
    const { inputs } = await plugin.read(user, `${project}/relay%20user/admin`);
    expect(inputs).toMatchObject({ projectId: project, username: "relay user", authDatabaseName: "admin" });
    await expect(plugin.read(user, "nonsense")).rejects.toThrow(/^2 UNKNOWN: import format error/);
  });
});

describe("an access list entry", () => {
  const inputs: Props = { projectId: project, cidrBlock: "203.0.113.7/32", comment: "office" };

  it("exists, has no drift, and is gone when the calls return", async () => {
    const made = await plugin.create(accessList, inputs);
    expect(signedRequests()[0]?.body).toEqual([{ cidrBlock: "203.0.113.7/32", comment: "office" }]);
    expect(made.state).toMatchObject({ ...inputs, ipAddress: "203.0.113.7" });
    expect(await plugin.read(accessList, made.id, made.state, inputs)).toEqual({
      id: made.id,
      state: made.state,
      inputs,
    });
    await plugin.delete(accessList, made.id, made.state);
    expect(
      signedRequests()
        .map(({ method, path }) => `${method} ${path}`)
        .slice(-2),
    ).toEqual([`DELETE ${group}/accessList/203.0.113.7`, `GET ${group}/accessList/203.0.113.7%2F32`]);
  });

  it("is one of a block, an address and a security group", async () => {
    const { failures } = await plugin.check(accessList, { projectId: project, cidrBlock: "a", ipAddress: "b" });
    expect(failures).toEqual([expect.stringMatching(/^ipAddress: exactly one of .*, 2 are given/)]);
    expect((await plugin.check(accessList, { projectId: project })).failures).toHaveLength(1);
    for (const cidrBlock of ["203.0.113.7", "203.0.113.7/33", "2001:db8::/129", "203.0.113/24", "a/8"]) {
      expect((await plugin.check(accessList, { projectId: project, cidrBlock })).failures, cidrBlock).toEqual([
        expect.stringMatching(/^cidrBlock: .* is not a CIDR block/),
      ]);
    }
    expect((await plugin.check(accessList, { projectId: project, ipAddress: "203.0.113.7/32" })).failures).toEqual([
      expect.stringMatching(/^ipAddress: .* is not an IP address/),
    ]);
    expect((await plugin.check(accessList, { projectId: project, cidrBlock: "2001:db8::/32" })).failures).toEqual([]);
  });

  it("is replaced by a change, the new one first", async () => {
    const { id, state } = await plugin.create(accessList, inputs);
    const diff = await plugin.diff(accessList, id, state, inputs, { ...inputs, comment: "other" });
    expect(diff).toEqual({
      changes: true,
      replaces: ["comment"],
      deletesFirst: false,
      detailed: { comment: "update-replace" },
    });
  });
});

describe("a Flex cluster", () => {
  const inputs: Props = {
    projectId: project,
    name: "slm",
    providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
    tags: { team: "ai" },
  };

  it("is idle when its creation returns, with the connection strings, and has no drift", async () => {
    pollsUntilIdle = 1;
    const made = await plugin.create(flex, inputs);
    expect(signedRequests()[0]?.body).toEqual({
      name: "slm",
      providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
      tags: [{ key: "team", value: "ai" }],
      terminationProtectionEnabled: false,
    });
    expect(made.state).toMatchObject({
      stateName: "IDLE",
      connectionStrings: { standard: "mongodb://a" },
      tags: { team: "ai" },
    });
    expect(await plugin.read(flex, made.id, made.state, inputs)).toEqual({ id: made.id, state: made.state, inputs });
    await plugin.delete(flex, made.id, made.state);
    expect(store.size).toBe(0);
  });

  it("cannot be renamed or moved: the provider refuses to update and to replace it", async () => {
    pollsUntilIdle = 0;
    const { id, state } = await plugin.create(flex, inputs);
    await expect(plugin.diff(flex, id, state, inputs, { ...inputs, name: "other" })).rejects.toThrow(
      /name cannot be updated/,
    );
    const providerSettings = { backingProviderName: "AWS", regionName: "US_EAST_1" };
    await expect(plugin.diff(flex, id, state, inputs, { ...inputs, providerSettings })).rejects.toThrow(
      /providerSettings\.regionName cannot be updated/,
    );
    expect((await plugin.diff(flex, id, state, inputs, { ...inputs, tags: { team: "x" } })).replaces).toEqual([]);
  });
});

describe("an existing cluster", () => {
  const getCluster = "mongodbatlas:index/getAdvancedCluster:getAdvancedCluster";

  it("is read with its connection strings and containers", async () => {
    const regionConfigs = [
      { providerName: "AWS", regionName: "AP_NORTHEAST_2", electableSpecs: { instanceSize: "M10" } },
    ];
    store.set(`${group}/clusters/main`, {
      id: "c9",
      name: "main",
      mongoDBMajorVersion: "8.0",
      stateName: "IDLE",
      connectionStrings: { standard: "mongodb://x", standardSrv: "mongodb+srv://x" },
      replicationSpecs: [{ id: "r1", zoneName: "Zone 1", regionConfigs }],
      tags: [{ key: "env", value: "prod" }],
    });
    store.set(`${group}/clusters/main/processArgs`, { minimumEnabledTlsProtocol: "TLS1_2" });
    store.set(`${group}/containers?providerName=AWS`, {
      results: [{ id: "k1", providerName: "AWS", regionName: "AP_NORTHEAST_2" }],
    });
    const { result } = await plugin.invoke(getCluster, { projectId: project, name: "main" });
    expect(result).toMatchObject({
      clusterId: "c9",
      connectionStrings: { standard: "mongodb://x", standardSrv: "mongodb+srv://x" },
      mongoDbMajorVersion: "8.0",
      stateName: "IDLE",
      tags: { env: "prod" },
      advancedConfiguration: { minimumEnabledTlsProtocol: "TLS1_2" },
      replicationSpecs: [{ containerId: { "AWS:AP_NORTHEAST_2": "k1" }, zoneName: "Zone 1" }],
    });
    await expect(plugin.invoke(getCluster, { projectId: project, name: "typo" })).rejects.toThrow(
      /there is no cluster "typo"/,
    );
  });

  it("can be a Flex cluster, which another endpoint serves", async () => {
    await plugin.create(flex, {
      projectId: project,
      name: "small",
      providerSettings: { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" },
    });
    const { result } = await plugin.invoke(getCluster, { projectId: project, name: "small" });
    expect(result).toMatchObject({
      name: "small",
      connectionStrings: { standard: "mongodb://a", standardSrv: "mongodb+srv://a" },
      stateName: "IDLE",
      replicationSpecs: [{ regionConfigs: [{ providerName: "FLEX", backingProviderName: "AWS" }] }],
    });
  });
});

it("says which key is missing, and refuses a wrong one", async () => {
  const names = ["PUBLIC_KEY", "PRIVATE_KEY", "PUBLIC_API_KEY", "PRIVATE_API_KEY"];
  const other = await startPlugin(
    "mongodbatlas",
    Object.fromEntries(names.map((name) => [`MONGODB_ATLAS_${name}`, ""])),
  );
  await expect(other.configure({ publicKey: "pub" })).rejects.toThrow(
    /API Key will be used but Private Key is required/,
  );
  await other.configure({ publicKey: "pub", privateKey: new Secret("wrong"), baseUrl: api.url });
  await expect(other.create(user, userInputs)).rejects.toThrow(/databaseUsers POST: HTTP 401 Unauthorized/);
  await other.stop();
});
