/** Flex clusters. Atlas creates and deletes them in the background, so both poll. */

import type { Call, ResourceDefinition } from "../plugin/definition.ts";
import { boolean, type Fields, map, number, object, string } from "../plugin/fields.ts";
import { isProps, type Props } from "../plugin/values.ts";
import { fromWire, isJsonObject, type Json, type JsonObject, toWire } from "../plugin/wire.ts";
import { type AtlasApi, asObject } from "./client.ts";
import { found, group, stateOf, timeout } from "./common.ts";
import { flexImportId } from "./ids.ts";
import { StateTimeout, stateChange } from "./state-change.ts";

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

/** terraform-provider-mongodbatlas, internal/service/flexcluster/state_transition.go */
const minPauseMs = 3_000;

const idle = (call: AtlasCall, url: string, timeoutMs: number) =>
  stateChange({
    pending: ["CREATING", "UPDATING", "REPAIRING"],
    target: ["IDLE"],
    minPauseMs,
    timeoutMs,
    async poll() {
      const actual = await readFlex(call, url);
      return { state: String(actual?.stateName ?? "DELETED"), value: actual ?? {} };
    },
  });

/** On a time-out of the creation the official provider deletes the cluster, unless told otherwise; its state is lost anyway. */
async function cleanUp(call: AtlasCall, url: string, inputs: Props, error: unknown): Promise<Error> {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof StateTimeout) || inputs.deleteOnCreateTimeout === false) {
    return new Error(`error creating resource: ${message}`, { cause: error });
  }
  await call.client.call("DELETE", url, "2024-11-13", call.signal);
  return new Error(
    `error creating resource: ${message}. Will run cleanup because delete_on_create_timeout is true. If you suspect a transient error, wait before retrying to allow resource deletion to finish`,
    { cause: error },
  );
}

export const flexCluster: ResourceDefinition<AtlasApi> = {
  token: "mongodbatlas:index/flexCluster:FlexCluster",
  inputs: flexFields,
  outputs: flexOutputs,
  stables: ["clusterType", "connectionStrings", "createDate"],
  /** A failure while waiting leaves no state: the cluster exists and nobody knows it. */
  async create(call, inputs) {
    const body = flexBody(inputs);
    const answer = asObject(
      await call.client.call("POST", group(inputs, "flexClusters"), "2024-11-13", call.signal, body),
      "flexClusters",
    );
    const url = group(inputs, "flexClusters", inputs.name);
    try {
      const actual = await idle(call, url, timeout(inputs, "create", "3h"));
      return { id: String(answer.id ?? ""), state: stateOf(flexFields, inputs, actual, flexOutputs, false) };
    } catch (error) {
      throw await cleanUp(call, url, inputs, error);
    }
  },
  async read(call, id, state, inputs) {
    const { projectId, name } = state.projectId && state.name ? state : flexImportId(id);
    const url = group({ projectId }, "flexClusters", name);
    const answer = await call.client.call("GET", url, "2024-11-13", call.signal);
    if (answer === undefined) return undefined;
    const cluster = asObject(answer, url);
    return found(flexFields, String(cluster.id ?? ""), inputs, { ...flexProps(cluster), projectId }, flexOutputs);
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
    await stateChange({
      // Neither UPDATING nor REPAIRING: a deletion right after a change fails.
      pending: ["IDLE", "DELETING", "CREATING"],
      target: ["DELETED"],
      minPauseMs,
      timeoutMs: timeout(state, "delete", "3h"),
      async poll() {
        const actual = await readFlex(call, url);
        return { state: String(actual?.stateName ?? "DELETED"), value: undefined };
      },
    });
  },
};
