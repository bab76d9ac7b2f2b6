/** Database users and network access. Names as in @pulumi/mongodbatlas 4.16.0. */
import { isIP } from "node:net";
import type { Call, ResourceDefinition } from "../plugin/definition.ts";
import { type Failure, type Fields, list, number, object, string } from "../plugin/fields.ts";
import type { Props, Value } from "../plugin/values.ts";
import { fromWire, type Json, type JsonObject, toWire } from "../plugin/wire.ts";
import { type AtlasApi, AtlasRefusal, asObject, durationMs } from "./client.ts";
import { found, group, stateOf, timeout } from "./common.ts";
import { flexCluster } from "./flex-cluster.ts";
import { accessListId, databaseUserId, encodeStateId } from "./ids.ts";
import { type Seen, stateChange } from "./state-change.ts";

type Resource = ResourceDefinition<AtlasApi>;
type AtlasCall = Call<AtlasApi>;

/** From the provider's resource_database_user.go. */
const noneByDefault = (wire: string, values?: readonly string[]) =>
  string({ computed: true, wire, ...(values && { values }) });
const otherSignIns = ["x509Type", "ldapAuthType", "awsIamType"];

const userFields: Fields = {
  authDatabaseName: string({ required: true, wire: "databaseName" }),
  awsIamType: noneByDefault("awsIAMType", ["NONE", "USER", "ROLE"]),
  description: string(),
  labels: list(object({ key: string(), value: string() }), { set: true }),
  ldapAuthType: noneByDefault("ldapAuthType", ["NONE", "USER", "GROUP"]),
  oidcAuthType: noneByDefault("oidcAuthType"),
  password: string({ secret: true, writeOnly: true, excludes: otherSignIns }),
  passwordWo: string({
    secret: true,
    writeOnly: true,
    needs: ["passwordWoVersion"],
    excludes: ["password", ...otherSignIns],
  }),
  passwordWoVersion: number({ writeOnly: true }),
  projectId: string({ required: true, replace: true, wire: "groupId" }),
  roles: list(
    object({
      collectionName: string({ wire: "collectionName" }),
      databaseName: string({ required: true, wire: "databaseName" }),
      roleName: string({ required: true, wire: "roleName" }),
    }),
    { required: true, set: true },
  ),
  scopes: list(object({ name: string(), type: string() }), { set: true, watched: true }),
  username: string({ required: true, replace: true }),
  x509Type: noneByDefault("x509Type", ["NONE", "MANAGED", "CUSTOMER"]),
};

function userBody(inputs: Props): JsonObject {
  const { password, passwordWo, passwordWoVersion: _, ...rest } = inputs;
  const none = { awsIAMType: "NONE", ldapAuthType: "NONE", oidcAuthType: "NONE", x509Type: "NONE" };
  const chosen = passwordWo ?? password;
  const body = { ...none, labels: [], scopes: [], ...toWire(userFields, rest) };
  return typeof chosen === "string" ? { ...body, password: chosen } : body;
}

const databaseUser: Resource = {
  token: "mongodbatlas:index/databaseUser:DatabaseUser",
  inputs: userFields,
  outputs: [],
  secretOutputs: ["password", "passwordWo"],
  async create(call, inputs) {
    const answer = await call.client.call(
      "POST",
      group(inputs, "databaseUsers"),
      "2023-01-01",
      call.signal,
      userBody(inputs),
    );
    const id = encodeStateId({
      project_id: String(inputs.projectId),
      username: String(inputs.username),
      auth_database_name: String(inputs.authDatabaseName),
    });
    return {
      id,
      state: stateOf(userFields, inputs, fromWire(userFields, asObject(answer, "databaseUsers")), [], false),
    };
  },
  async read(call, id, state, inputs) {
    const { projectId, username, authDatabaseName } = databaseUserId(id);
    const url = group({ projectId }, "databaseUsers", authDatabaseName, username);
    const answer = await call.client.call("GET", url, "2023-01-01", call.signal);
    if (answer === undefined) return undefined;
    const actual = { ...fromWire(userFields, asObject(answer, url)), projectId };
    const stateId = encodeStateId({ project_id: projectId, username, auth_database_name: authDatabaseName });
    const result = found(userFields, stateId, inputs, actual, []);
    return { ...result, state: { ...result.state, password: state.password, passwordWo: state.passwordWo } };
  },
  async update(call, _id, olds, inputs) {
    const url = group(inputs, "databaseUsers", inputs.authDatabaseName, inputs.username);
    const body = userBody(inputs);
    // Sent only when it changed: a password changed by hand stays.
    if (inputs.password === olds.password && inputs.passwordWoVersion === olds.passwordWoVersion) delete body.password;
    const answer = await call.client.call("PATCH", url, "2023-01-01", call.signal, body);
    return stateOf(userFields, inputs, fromWire(userFields, asObject(answer, url)), [], false);
  },
  async delete(call, _id, state) {
    const url = group(state, "databaseUsers", state.authDatabaseName, state.username);
    await call.client.call("DELETE", url, "2023-01-01", call.signal);
  },
};

const entryFields: Fields = {
  awsSecurityGroup: string({ replace: true, computed: true, wire: "awsSecurityGroup" }),
  cidrBlock: string({ replace: true, computed: true, wire: "cidrBlock" }),
  comment: string({ replace: true, computed: true }),
  ipAddress: string({ replace: true, computed: true, wire: "ipAddress" }),
  projectId: string({ required: true, replace: true, wire: "groupId" }),
  timeouts: object({ delete: string(), read: string() }, { writeOnly: true }),
};
const entryKinds = ["cidrBlock", "ipAddress", "awsSecurityGroup"] as const;
/** The provider checks both forms itself (ValidCIDR, ValidIP). */
function addressFault(name: (typeof entryKinds)[number], value: Value | undefined): Failure[] {
  if (typeof value !== "string" || name === "awsSecurityGroup") return [];
  const [address = "", bits, ...more] = value.split("/");
  const version = isIP(address);
  const isBlock = /^\d+$/.test(bits ?? "") && Number(bits) <= (version === 4 ? 32 : 128) && more.length === 0;
  if (version !== 0 && (name === "cidrBlock" ? isBlock : bits === undefined)) return [];
  const wanted = name === "cidrBlock" ? "a CIDR block, e.g. 203.0.113.7/32" : "an IP address, e.g. 203.0.113.7";
  return [{ property: name, reason: `${JSON.stringify(value)} is not ${wanted}` }];
}
const entryOf = (props: Props) => props.cidrBlock ?? props.ipAddress ?? props.awsSecurityGroup;

async function readEntry(
  call: AtlasCall,
  projectId: Value | undefined,
  entry: Value | undefined,
): Promise<Props | undefined> {
  const url = group({ projectId }, "accessList", entry);
  const answer = await call.client.call("GET", url, "2023-01-01", call.signal);
  return answer === undefined ? undefined : { ...fromWire(entryFields, asObject(answer, url)), projectId };
}

const accessList: Resource = {
  token: "mongodbatlas:index/projectIpAccessList:ProjectIpAccessList",
  inputs: entryFields,
  outputs: [],
  check(props) {
    const given = entryKinds.filter((name) => props[name] !== undefined);
    if (given.length === 1) return entryKinds.flatMap((name) => addressFault(name, props[name]));
    const reason = `exactly one of ${entryKinds.join(", ")} is wanted, ${given.length} are given`;
    return [{ property: given[1] ?? "cidrBlock", reason }];
  },
  create: (call, inputs) => oneAtATime(() => createEntry(call, inputs)),
  async read(call, id, _state, inputs) {
    const { projectId, entry } = accessListId(id);
    const actual = await readEntry(call, projectId, entry);
    if (!actual) return undefined;
    const stateId = encodeStateId({ entry, project_id: projectId });
    // The API returns a single address as a block and as an address; a program sets one of them.
    if (inputs) return found(entryFields, stateId, inputs, actual, []);
    const { ipAddress, cidrBlock, comment } = actual;
    const imported = { projectId, comment, ...(entry === ipAddress ? { ipAddress } : { cidrBlock }) };
    return { id: stateId, inputs: imported, state: stateOf(entryFields, imported, actual, [], true) };
  },
  async delete(call, id, state) {
    const { projectId, entry } = accessListId(id);
    const url = group({ projectId }, "accessList", state.ipAddress ?? entry);
    try {
      await call.client.call("DELETE", url, "2023-01-01", call.signal);
    } catch (error) {
      // Unlike the other resources, an entry that is gone is no error.
      if (!(error instanceof AtlasRefusal && error.status === 404)) throw error;
    }
    await stateChange({
      ...entryChange,
      pending: ["created"],
      target: ["deleted"],
      timeoutMs: timeout(state, "delete", "45m"),
      poll: async () => ({
        state: (await readEntry(call, projectId, entry)) ? "created" : "deleted",
        value: undefined,
      }),
    });
  },
};

/** terraform-provider-mongodbatlas, internal/service/projectipaccesslist/resource.go */
const entryChange = { delayMs: 10_000, minPauseMs: 10_000 };

let lastCreation: Promise<unknown> = Promise.resolve();

/** Atlas refuses concurrent changes of the list, so the official provider creates entries one by one. */
function oneAtATime<T>(create: () => Promise<T>): Promise<T> {
  const created = lastCreation.then(create, create);
  lastCreation = created.catch(() => {});
  return created;
}

/** Posts the entry, again after a 500, and waits until the API shows it. */
async function createEntry(call: AtlasCall, inputs: Props): Promise<{ id: string; state: Props }> {
  const { projectId, timeouts: _, ...entry } = inputs;
  const body: Json = [toWire(entryFields, entry)];
  const actual = await stateChange<Props>({
    ...entryChange,
    pending: ["pending"],
    target: ["created"],
    timeoutMs: durationMs("45m"),
    async poll(): Promise<Seen<Props>> {
      try {
        await call.client.call("POST", group(inputs, "accessList"), "2023-01-01", call.signal, body);
      } catch (error) {
        if (error instanceof AtlasRefusal && error.status === 500) return { state: "pending", value: {} };
        const message = error instanceof Error ? error.message : String(error);
        throw new Error(`error creating Project IP Access List information: ${message}`, { cause: error });
      }
      const found = await readEntry(call, projectId, entryOf(inputs));
      return { state: found ? "created" : "pending", value: found ?? {} };
    },
  });
  const id = encodeStateId({ entry: String(entryOf(inputs)), project_id: String(projectId) });
  return { id, state: stateOf(entryFields, inputs, actual, [], false) };
}

export const resources: readonly Resource[] = [databaseUser, accessList, flexCluster];
