/**
 * A Flex cluster that was made and is in no state: the official provider forgets one whose creation failed while it waited
 * (docs/providers.md, row 5). The next `up` would meet DUPLICATE_CLUSTER_NAME; it is imported instead, never made twice and
 * never deleted. Pure decisions.
 */
import type { StackConfig } from "../../config/config.ts";
import { typeToken } from "../../config/resource-types.ts";
import { programName } from "../init/adopt/adoptable.ts";
import { type Deployed, importFile } from "../init/adopt/import-file.ts";

/** The cluster to look for. */
export interface WantedCluster {
  readonly projectId: string;
  readonly name: string;
}

/** @returns the Flex cluster that the config declares and the state lacks, if there is one */
export function missingCluster(
  documents: StackConfig["documents"],
  deployed: readonly Deployed[],
): WantedCluster | undefined {
  const { store, atlas } = documents;
  if (store !== "atlas" || !atlas || typeof atlas.cluster === "string") return undefined;
  if (deployed.some(({ type }) => type === typeToken("cluster"))) return undefined;
  return { projectId: atlas.projectId, name: atlas.cluster.create.name };
}

/** The content of the file for `pulumi import`. @param versions of the providers' packages */
export function clusterImport(
  { projectId, name }: WantedCluster,
  deployed: readonly Deployed[],
  versions: Readonly<Record<string, string>>,
): ReturnType<typeof importFile> {
  const cluster = {
    shown: `the Flex cluster ${JSON.stringify(name)}`,
    type: typeToken("cluster"),
    name: `${programName}-cluster`,
    parent: "documents" as const,
    id: `${projectId}-${name}`,
    means: [],
  };
  return importFile([cluster], deployed, versions);
}
