/** Atlas' data sources. Names and results as in @pulumi/mongodbatlas 4.16.0. */

import type { Call, FunctionDefinition } from "../plugin/definition.ts";
import { boolean, string } from "../plugin/fields.ts";
import { isProps, type Props, type Value } from "../plugin/values.ts";
import { camelKeys, isJsonObject, type Json, type JsonObject } from "../plugin/wire.ts";
import { type AtlasApi, AtlasRefusal, asObject } from "./client.ts";
import { flexProps, tagMap } from "./flex-cluster.ts";

type Function_ = FunctionDefinition<AtlasApi>;

const segment = (value: unknown) => encodeURIComponent(String(value ?? ""));
const objects = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? value.filter(isJsonObject) : []);
const asProps = (value: Json | undefined): Props => {
  const props = value === undefined ? {} : camelKeys(value);
  return isProps(props) ? props : {};
};

/** The containers of a replication spec by `provider:region`, as in the official provider. */
function containerIds(spec: JsonObject, containers: JsonObject[]): Props {
  const ids: Props = {};
  for (const { providerName, regionName } of objects(spec.regionConfigs)) {
    const container = containers.find((one) => one.providerName === providerName && one.regionName === regionName);
    if (typeof container?.id === "string") ids[`${String(providerName)}:${String(regionName)}`] = container.id;
  }
  return ids;
}

/** A cluster's properties under the package's names. Pure. */
export function clusterProps(cluster: JsonObject, containers: JsonObject[], processArgs: JsonObject): Props {
  const strings = asProps(cluster.connectionStrings);
  const specs = objects(cluster.replicationSpecs).map(
    (spec): Value => ({
      containerId: containerIds(spec, containers),
      externalId: String(spec.id ?? ""),
      zoneId: String(spec.zoneId ?? ""),
      zoneName: String(spec.zoneName ?? ""),
      regionConfigs: objects(spec.regionConfigs).map((config) => ({ backingProviderName: "", ...asProps(config) })),
    }),
  );
  const taken = [
    "adaptiveCapacity",
    "backupEnabled",
    "clusterType",
    "configServerManagementMode",
    "configServerType",
    "createDate",
  ];
  taken.push(
    "encryptionAtRestProvider",
    "globalClusterSelfManagedSharding",
    "name",
    "paused",
    "pitEnabled",
    "redactClientLogData",
  );
  taken.push(
    "replicaSetScalingStrategy",
    "rootCertType",
    "stateName",
    "terminationProtectionEnabled",
    "versionReleaseSystem",
  );
  const same = Object.fromEntries(
    taken.filter((key) => cluster[key] != null).map((key) => [key, camelKeys(cluster[key] ?? null)]),
  );
  return {
    ...same,
    id: String(cluster.id ?? ""),
    clusterId: String(cluster.id ?? ""),
    mongoDbVersion: String(cluster.mongoDBVersion ?? ""),
    mongoDbMajorVersion: String(cluster.mongoDBMajorVersion ?? ""),
    connectionStrings: { private: "", privateSrv: "", privateEndpoints: [], standard: "", standardSrv: "", ...strings },
    replicationSpecs: specs,
    biConnectorConfig: asProps(cluster.biConnector),
    advancedConfiguration: { ...asProps(cluster.advancedConfiguration), ...asProps(processArgs) },
    labels: asProps(tagMap(cluster.labels)),
    tags: asProps(tagMap(cluster.tags)),
  };
}

const advancedCluster: Function_ = {
  token: "mongodbatlas:index/getAdvancedCluster:getAdvancedCluster",
  inputs: { name: string({ required: true }), projectId: string({ required: true }), useEffectiveFields: boolean() },
  async invoke(call, { name, projectId, useEffectiveFields }) {
    const group = `/groups/${segment(projectId)}`;
    const url = `${group}/clusters/${segment(name)}`;
    let answer: Json | undefined;
    try {
      answer = await call.client.call("GET", url, "2024-08-05", call.signal);
    } catch (error) {
      // As in the official provider: Atlas' cluster API does not serve Flex clusters.
      if (!(error instanceof AtlasRefusal) || error.errorCode !== "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API") throw error;
      return { ...clusterProps(asCluster(await readFlex(call, projectId, name)), [], {}), projectId, name };
    }
    if (answer === undefined) {
      throw new Error(`there is no cluster ${JSON.stringify(name)} in project ${String(projectId)}: check both`);
    }
    const cluster = asObject(answer, url);
    const configs = objects(cluster.replicationSpecs).flatMap((spec) => objects(spec.regionConfigs));
    const containers: JsonObject[] = [];
    for (const provider of new Set(configs.map(({ providerName }) => String(providerName)))) {
      const found = await call.client.call(
        "GET",
        `${group}/containers?providerName=${segment(provider)}`,
        "2023-01-01",
        call.signal,
      );
      if (isJsonObject(found)) containers.push(...objects(found.results));
    }
    const processArgs = await call.client.call("GET", `${url}/processArgs`, "2024-08-05", call.signal);
    return {
      ...clusterProps(cluster, containers, isJsonObject(processArgs) ? processArgs : {}),
      projectId,
      name,
      useEffectiveFields,
    };
  },
};

async function readFlex(call: Call<AtlasApi>, projectId: unknown, name: unknown): Promise<JsonObject> {
  const url = `/groups/${segment(projectId)}/flexClusters/${segment(name)}`;
  const answer = await call.client.call("GET", url, "2024-11-13", call.signal);
  if (answer === undefined) {
    throw new Error(`there is no Flex cluster ${JSON.stringify(name)} in project ${String(projectId)}: check both`);
  }
  return asObject(answer, url);
}

/** A Flex cluster in the form of any cluster, as in the official provider. Pure. */
function asCluster({ providerSettings, backupSettings, ...flex }: JsonObject): JsonObject {
  const { backingProviderName = "", regionName = "" } = isJsonObject(providerSettings) ? providerSettings : {};
  const { enabled = false } = isJsonObject(backupSettings) ? backupSettings : {};
  const regionConfigs = [{ providerName: "FLEX", backingProviderName, regionName, priority: 7 }];
  return { ...flex, backupEnabled: enabled, replicationSpecs: [{ regionConfigs }] };
}

const flexCluster: Function_ = {
  token: "mongodbatlas:index/getFlexCluster:getFlexCluster",
  inputs: { name: string({ required: true }), projectId: string({ required: true }) },
  async invoke(call, { name, projectId }) {
    const found = await readFlex(call, projectId, name);
    return { ...flexProps(found), id: String(found.id ?? ""), projectId, name };
  },
};

export const functions: readonly Function_[] = [advancedCluster, flexCluster];
