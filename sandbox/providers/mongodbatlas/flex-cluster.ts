/** Flex clusters. Atlas creates and deletes them in the background, so both poll. */

import { type Call, PartialFailure, type ResourceDefinition } from "../plugin/definition.ts";
import { boolean, type Fields, map, number, object, string } from "../plugin/fields.ts";
import { isProps, type Props } from "../plugin/values.ts";
import { fromWire, isJsonObject, type Json, type JsonObject, toWire } from "../plugin/wire.ts";
import { type AtlasApi, asObject, waitFor } from "./client.ts";
import { found, group, parts, path, stateOf, timeout } from "./common.ts";

type AtlasCall = Call<AtlasApi>;

const flexFields: Fields = {
  deleteOnCreateTimeout: boolean({ writeOnly: true }),
  // The provider's CreateOnly: it neither updates nor replaces a cluster for these.
  name: string({ required: true, createOnly: true }),
  projectId: string({ required: true, createOnly: true, wire: "groupId" }),
  providerSettings: object(
    {
      backingProviderName: string({ required: true, createOnly: true }),
      diskSizeGb: number({ wire: "diskSizeGB" }),
      providerName: string(),
      regionName: string({ required: true, createOnly: true }),
    },
    { required: true, camel: true, wire: "providerSettings" },
  ),
  tags: map(string()),
  terminationProtectionEnabled: boolean({ computed: true, wire: "terminationProtectionEnabled" }),
  timeouts: object({ create: string(), delete: string(), update: string() }, { writeOnly: true }),
};
const flexOutputs = [
  "backupSettings",
  "clusterType",
  "connectionStrings",
  "createDate",
  "mongoDbVersion",
  "stateName",
  "versionReleaseSystem",
];

/** A Flex cluster's properties with the package's names, and tags as a map. */
export function flexProps(answer: JsonObject): Props {
  const strings = isJsonObject(answer.connectionStrings) ? answer.connectionStrings : {};
  const backup = isJsonObject(answer.backupSettings) ? answer.backupSettings : {};
  const outputs: Fields = { clusterType: string({ wire: "clusterType" }), createDate: string({ wire: "createDate" }) };
  const more: Fields = {
    mongoDbVersion: string({ wire: "mongoDBVersion" }),
    stateName: string({ wire: "stateName" }),
    versionReleaseSystem: string({ wire: "versionReleaseSystem" }),
  };
  return {
    ...fromWire({ ...flexFields, ...outputs, ...more }, { ...answer, tags: tagMap(answer.tags) }),
    connectionStrings: fromWire({ standard: string(), standardSrv: string({ wire: "standardSrv" }) }, strings),
    backupSettings: fromWire({ enabled: boolean() }, backup),
  };
}

/** `[{key, value}]` as a map. */
export function tagMap(tags: Json | undefined): JsonObject {
  const entries = Array.isArray(tags) ? tags.filter(isJsonObject) : [];
  return Object.fromEntries(entries.map(({ key, value }) => [String(key), value]));
}

function flexBody(inputs: Props): JsonObject {
  const { projectId: _, deleteOnCreateTimeout: __, timeouts: ___, tags, ...rest } = inputs;
  const wireTags = isProps(tags) ? Object.entries(tags).map(([key, value]) => ({ key, value: String(value) })) : [];
  return { terminationProtectionEnabled: false, ...toWire(flexFields, rest), tags: wireTags };
}

async function readFlex(call: AtlasCall, url: string): Promise<Props | undefined> {
  const answer = await call.client.call("GET", url, "2024-11-13", call.signal);
  return answer === undefined ? undefined : flexProps(asObject(answer, url));
}

const idle = (call: AtlasCall, url: string, limit: number) =>
  waitFor(`the state IDLE of ${url}`, limit, call.signal, async () => {
    const actual = await readFlex(call, url);
    return actual?.stateName === "IDLE" ? actual : undefined;
  });

export const flexCluster: ResourceDefinition<AtlasApi> = {
  token: "mongodbatlas:index/flexCluster:FlexCluster",
  inputs: flexFields,
  outputs: flexOutputs,
  stables: ["clusterType", "connectionStrings", "createDate"],
  async create(call, inputs) {
    const body = flexBody(inputs);
    const answer = await call.client.call("POST", group(inputs, "flexClusters"), "2024-11-13", call.signal, body);
    const id = path(inputs.projectId, inputs.name).slice(1);
    const early = stateOf(flexFields, inputs, flexProps(asObject(answer, "flexClusters")), flexOutputs, false);
    try {
      const actual = await idle(call, group(inputs, "flexClusters", inputs.name), timeout(inputs, "create", "3h"));
      return { id, state: stateOf(flexFields, inputs, actual, flexOutputs, false) };
    } catch (error) {
      throw new PartialFailure(error instanceof Error ? error.message : String(error), id, early, { cause: error });
    }
  },
  async read(call, id, _state, inputs) {
    const [projectId, name] = parts(id, "<project id>/<cluster>");
    const actual = await readFlex(call, group({ projectId }, "flexClusters", name));
    return actual && found(flexFields, id, inputs, { ...actual, projectId }, flexOutputs);
  },
  async update(call, _id, _olds, inputs) {
    const { name: _, providerSettings: __, ...body } = flexBody(inputs);
    const url = group(inputs, "flexClusters", inputs.name);
    await call.client.call("PATCH", url, "2024-11-13", call.signal, body);
    const actual = await idle(call, url, timeout(inputs, "update", "3h"));
    return stateOf(flexFields, inputs, actual, flexOutputs, false);
  },
  async delete(call, _id, state) {
    const url = group(state, "flexClusters", state.name);
    await call.client.call("DELETE", url, "2024-11-13", call.signal);
    await waitFor(`the removal of ${url}`, timeout(state, "delete", "3h"), call.signal, async () =>
      (await readFlex(call, url)) ? undefined : true,
    );
  },
};
