/** Database users and network access. Names as in @pulumi/mongodbatlas 4.16.0. */
import { isIP } from "node:net";
import { type Call, PartialFailure, type ResourceDefinition } from "../plugin/definition.ts";
import { type Failure, type Fields, list, number, object, string } from "../plugin/fields.ts";
import type { Props, Value } from "../plugin/values.ts";
import { fromWire, type Json, type JsonObject, toWire } from "../plugin/wire.ts";
import { type AtlasApi, asObject, waitFor } from "./client.ts";
import { found, group, parts, path, stateOf, timeout } from "./common.ts";
import { flexCluster } from "./flex-cluster.ts";

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
    const id = path(inputs.projectId, inputs.username, inputs.authDatabaseName).slice(1);
    return {
      id,
      state: stateOf(userFields, inputs, fromWire(userFields, asObject(answer, "databaseUsers")), [], false),
    };
  },
  async read(call, id, state, inputs) {
    const [projectId, username, authDatabaseName] = parts(id, "<project id>/<user name>/<authentication database>");
    const url = group({ projectId }, "databaseUsers", authDatabaseName, username);
    const answer = await call.client.call("GET", url, "2023-01-01", call.signal);
    if (answer === undefined) return undefined;
    const actual = { ...fromWire(userFields, asObject(answer, url)), projectId };
    const result = found(userFields, id, inputs, actual, []);
    return { ...result, state: { ...result.state, password: state.password, passwordWo: state.passwordWo } };
  },
  async update(call, _id, _olds, inputs) {
    const url = group(inputs, "databaseUsers", inputs.authDatabaseName, inputs.username);
    const answer = await call.client.call("PATCH", url, "2023-01-01", call.signal, userBody(inputs));
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
  async create(call, inputs) {
    const { projectId: _, timeouts: __, ...entry } = inputs;
    const body: Json = [toWire(entryFields, entry)];
    await call.client.call("POST", group(inputs, "accessList"), "2023-01-01", call.signal, body);
    const id = path(inputs.projectId, entryOf(inputs)).slice(1);
    try {
      const what = `the access list entry ${String(entryOf(inputs))}`;
      const limit = timeout(inputs, "read", "2m");
      const actual = await waitFor(what, limit, call.signal, () => readEntry(call, inputs.projectId, entryOf(inputs)));
      return { id, state: stateOf(entryFields, inputs, actual, [], false) };
    } catch (error) {
      throw new PartialFailure(error instanceof Error ? error.message : String(error), id, inputs, { cause: error });
    }
  },
  async read(call, id, _state, inputs) {
    const [projectId, entry] = parts(id, "<project id>/<entry, %2F for its slash>");
    const actual = await readEntry(call, projectId, entry);
    if (!actual) return undefined;
    // The API returns a single address as a block and as an address; a program sets one of them.
    if (inputs) return found(entryFields, id, inputs, actual, []);
    const { ipAddress, cidrBlock, comment } = actual;
    const imported = { projectId, comment, ...(entry === ipAddress ? { ipAddress } : { cidrBlock }) };
    return { id, inputs: imported, state: stateOf(entryFields, imported, actual, [], true) };
  },
  async delete(call, id, state) {
    const [projectId, entry] = parts(id, "<project id>/<entry, %2F for its slash>");
    const url = group({ projectId }, "accessList", state.ipAddress ?? entry);
    await call.client.call("DELETE", url, "2023-01-01", call.signal);
    await waitFor(`the removal of ${entry}`, timeout(state, "delete", "5m"), call.signal, async () =>
      (await readEntry(call, projectId, entry)) ? undefined : true,
    );
  },
};

export const resources: readonly Resource[] = [databaseUser, accessList, flexCluster];
