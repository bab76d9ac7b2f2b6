/**
 * The existing cluster, and declared Flex clusters.
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-clusters
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-flex-clusters
 */
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { applyUsers } from "./database-users.ts";
import { AtlasError, checkBody } from "./errors.ts";
import { type Answer, type Call, type Project, page, type Route } from "./route.ts";
import type { StoredFlex } from "./state.ts";

const since = "2026-01-01T00:00:00Z";
const version = "8.0.4";

/** A stable 24-digit id, the same on every read. */
function idOf(project: Project, what: string): string {
  return createHash("sha256").update(`${project.id}/${project.clusterName}/${what}`).digest("hex").slice(0, 24);
}

function connectionStrings(project: Project) {
  return { standard: project.uri, standardSrv: project.uri };
}

function clusterWire(project: Project): Record<string, unknown> {
  const specs = { instanceSize: "M10", nodeCount: 3, diskSizeGB: 10, ebsVolumeType: "STANDARD", diskIOPS: 3000 };
  return {
    id: idOf(project, "cluster"),
    groupId: project.id,
    name: project.clusterName,
    clusterType: "REPLICASET",
    stateName: "IDLE",
    mongoDBVersion: version,
    mongoDBMajorVersion: "8.0",
    versionReleaseSystem: "LTS",
    createDate: since,
    paused: project.conditions.clusterPaused,
    backupEnabled: true,
    pitEnabled: false,
    encryptionAtRestProvider: "NONE",
    rootCertType: "ISRGROOTX1",
    terminationProtectionEnabled: false,
    connectionStrings: connectionStrings(project),
    replicationSpecs: [
      {
        id: idOf(project, "replicationSpec"),
        zoneId: idOf(project, "zone"),
        zoneName: "Zone 1",
        regionConfigs: [{ providerName: "AWS", regionName: "AP_NORTHEAST_2", priority: 7, electableSpecs: specs }],
      },
    ],
    biConnector: { enabled: false },
    labels: [],
    tags: [],
    advancedConfiguration: {},
    links: [],
  };
}

function checkName({ project, params }: Call): void {
  const [name = ""] = params;
  if (name === project.clusterName) return;
  if (project.state.flexClusters[name] !== undefined) {
    const detail = `Cluster ${name} is a Flex cluster: read it at /flexClusters/${name}.`;
    throw new AtlasError(400, "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API", detail, [name, project.id]);
  }
  throw new AtlasError(404, "CLUSTER_NOT_FOUND", `No cluster named ${name} exists in group ${project.id}.`, [
    name,
    project.id,
  ]);
}

const flexCreateSchema = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9-]{0,63}$/, "1 to 64 letters, digits and -, not starting with -"),
  providerSettings: z.strictObject({
    backingProviderName: z.enum(["AWS", "AZURE", "GCP"]),
    regionName: z.string().regex(/^[A-Z0-9_]+$/, "expected a region as Atlas names it, e.g. AP_NORTHEAST_2"),
  }),
  tags: z.array(z.strictObject({ key: z.string().min(1), value: z.string() })).nullish(),
  terminationProtectionEnabled: z.boolean().nullish(),
});
const flexChangeSchema = flexCreateSchema.pick({ tags: true, terminationProtectionEnabled: true });

function flexWire(project: Project, flex: StoredFlex): Record<string, unknown> {
  const { pollsLeft: _, ...shown } = flex;
  return {
    ...shown,
    groupId: project.id,
    clusterType: "REPLICASET",
    mongoDBVersion: version,
    versionReleaseSystem: "LTS",
    backupSettings: { enabled: true },
    // A cluster in creation has no address yet.
    connectionStrings: flex.stateName === "CREATING" ? {} : connectionStrings(project),
    providerSettings: { ...flex.providerSettings, providerName: "FLEX", diskSizeGB: 5 },
    links: [],
  };
}

function findFlex({ project, params }: Call): StoredFlex {
  const [name = ""] = params;
  const flex = project.state.flexClusters[name];
  if (flex !== undefined) return flex;
  throw new AtlasError(404, "CLUSTER_NOT_FOUND", `No cluster named ${name} exists in group ${project.id}.`, [
    name,
    project.id,
  ]);
}

/** Each read advances a pending change, because clients poll for its end. */
function readFlex(call: Call): Answer {
  const { project } = call;
  const flex = findFlex(call);
  if (flex.stateName === "IDLE") return { body: flexWire(project, flex) };
  if (flex.pollsLeft > 0) {
    flex.pollsLeft -= 1;
  } else if (flex.stateName === "DELETING") {
    delete project.state.flexClusters[flex.name];
  } else {
    flex.stateName = flex.deleteAfterUpdate ? "DELETING" : "IDLE";
    if (flex.deleteAfterUpdate) flex.pollsLeft = project.delays.clusterPolls;
  }
  project.changed();
  return { body: flexWire(project, findFlex(call)) };
}

async function createFlex({ project, body }: Call): Promise<Answer> {
  const sent = checkBody(flexCreateSchema, body);
  if (sent.name === project.clusterName || project.state.flexClusters[sent.name] !== undefined) {
    const detail = `A cluster or serverless instance named ${sent.name} is already present in group ${project.id}.`;
    throw new AtlasError(400, "DUPLICATE_CLUSTER_NAME", detail, [sent.name, project.id]);
  }
  const flex: StoredFlex = {
    id: randomBytes(12).toString("hex"),
    name: sent.name,
    createDate: new Date().toISOString(),
    providerSettings: sent.providerSettings,
    tags: sent.tags ?? [],
    terminationProtectionEnabled: sent.terminationProtectionEnabled ?? false,
    stateName: "CREATING",
    pollsLeft: project.delays.clusterPolls,
  };
  project.state.flexClusters[flex.name] = flex;
  project.changed();
  await applyUsers(project);
  return { status: 201, body: flexWire(project, flex) };
}

function changeFlex(call: Call): Answer {
  const { project } = call;
  const flex = findFlex(call);
  const sent = checkBody(flexChangeSchema, call.body);
  flex.tags = sent.tags ?? flex.tags;
  flex.terminationProtectionEnabled = sent.terminationProtectionEnabled ?? flex.terminationProtectionEnabled;
  flex.stateName = "UPDATING";
  flex.pollsLeft = project.delays.clusterPolls;
  project.changed();
  return { body: flexWire(project, flex) };
}

function removeFlex(call: Call): Answer {
  const { project } = call;
  const flex = findFlex(call);
  if (flex.terminationProtectionEnabled) {
    const detail = `Cannot terminate a cluster when termination protection is enabled: ${flex.name}. Disable termination protection first.`;
    throw new AtlasError(400, "CANNOT_TERMINATE_CLUSTER_WHEN_TERMINATION_PROTECTION_ENABLED", detail, [flex.name]);
  }
  if (flex.stateName === "UPDATING" && flex.pollsLeft > 0) flex.deleteAfterUpdate = true;
  else {
    flex.stateName = "DELETING";
    flex.pollsLeft = project.delays.clusterPolls;
  }
  project.changed();
  return { status: 204 };
}

function container(project: Project): Record<string, unknown> {
  return {
    id: idOf(project, "container"),
    providerName: "AWS",
    regionName: "AP_NORTHEAST_2",
    atlasCidrBlock: "192.168.0.0/21",
    provisioned: true,
    vpcId: null,
  };
}

function containers({ project, query }: Call): Answer {
  const provider = query.get("providerName") ?? query.get("cloudProvider") ?? "AWS";
  return page(provider === "AWS" ? [container(project)] : [], query);
}

/** Routes of clusters and of the resources the provider reads with them. */
export const clusterRoutes: Route[] = [
  { method: "GET", path: "/clusters", handle: ({ project, query }) => page([clusterWire(project)], query) },
  {
    method: "GET",
    path: "/clusters/*",
    handle: (call) => {
      checkName(call);
      return { body: clusterWire(call.project) };
    },
  },
  {
    method: "GET",
    path: "/clusters/*/processArgs",
    handle: (call) => {
      checkName(call);
      return { body: {} };
    },
  },
  { method: "GET", path: "/containers", handle: containers },
  { method: "GET", path: "/containers/all", handle: containers },
  {
    method: "GET",
    path: "/flexClusters",
    handle: ({ project, query }) =>
      page(
        Object.values(project.state.flexClusters).map((flex) => flexWire(project, flex)),
        query,
      ),
  },
  { method: "POST", path: "/flexClusters", handle: createFlex },
  { method: "GET", path: "/flexClusters/*", handle: readFlex },
  { method: "PATCH", path: "/flexClusters/*", handle: changeFlex },
  { method: "DELETE", path: "/flexClusters/*", handle: removeFlex },
];
