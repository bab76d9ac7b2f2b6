/**
 * What is in an Atlas project, by the Admin API v2. Reads only. MongoDB has an official client for Go only; how it is signed in
 * is in `atlas-sign-in.ts`.
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/
 */
import { z } from "zod";
import { atlasFailure } from "./atlas-failure.ts";
import { type AtlasAccess, atlasBase, atlasFetch, TokenRefused } from "./atlas-sign-in.ts";
import { errorText, failure, type LookupResult, mapResult, success } from "./lookup-result.ts";

export type { AtlasAccess } from "./atlas-sign-in.ts";

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly orgId: string;
}
export interface Cluster {
  readonly id: string;
  readonly name: string;
  readonly kind: "dedicated" | "flex";
  /** `IDLE` when it is in order; `CREATING`, `UPDATING`, … */
  readonly state: string;
  readonly paused: boolean;
  /** Where, e.g. `AWS AP_NORTHEAST_2`. */
  readonly region: string;
  /** e.g. `M10`, `FLEX`. */
  readonly size: string;
  readonly mongodbVersion: string;
}
export interface DatabaseUser {
  readonly username: string;
  /** The database it signs in at. */
  readonly databaseName: string;
  /** `role@database`, e.g. `readWrite@slm`. */
  readonly roles: readonly string[];
  /** Clusters it is confined to; none: all of the project. */
  readonly clusters: readonly string[];
}
export interface AccessListEntry {
  readonly cidrBlock: string;
  readonly comment: string;
}

/** The lookups. Nothing is requested before one is called; lists are read to their last page. */
export interface AtlasLookups {
  /** Those the key may see. */
  projects(): Promise<LookupResult<Project[]>>;
  project(projectId: string): Promise<LookupResult<Project>>;
  /** Dedicated and Flex ones. */
  clusters(projectId: string): Promise<LookupResult<Cluster[]>>;
  databaseUsers(projectId: string): Promise<LookupResult<DatabaseUser[]>>;
  /** Who may connect to the project's clusters. */
  accessList(projectId: string): Promise<LookupResult<AccessListEntry[]>>;
  /**
   * Whether the key may change database users, found out without a change: an empty update of a user that does not exist. Without
   * the right Atlas refuses it (401, 403), with it there is no such user (404) or the update is not valid (400).
   */
  mayWrite(projectId: string): Promise<LookupResult<boolean>>;
  /** This machine's address as Atlas sees it: what a cluster's access list has to let in. */
  publicAddress(): Promise<LookupResult<string>>;
}

const projectSchema = z.object({ id: z.string(), name: z.string(), orgId: z.string() });
const clusterSchema = z.object({
  id: z.string(),
  name: z.string(),
  stateName: z.string(),
  paused: z.boolean().default(false),
  mongoDBVersion: z.string().default(""),
  replicationSpecs: z
    .array(
      z.object({
        regionConfigs: z.array(
          z.object({
            providerName: z.string(),
            backingProviderName: z.string().nullish(),
            regionName: z.string(),
            electableSpecs: z.object({ instanceSize: z.string().nullish() }).nullish(),
          }),
        ),
      }),
    )
    .default([]),
});
const flexSchema = z.object({
  id: z.string(),
  name: z.string(),
  stateName: z.string(),
  mongoDBVersion: z.string().default(""),
  providerSettings: z.object({ backingProviderName: z.string(), regionName: z.string() }),
});
const userSchema = z.object({
  username: z.string(),
  databaseName: z.string(),
  roles: z.array(z.object({ roleName: z.string(), databaseName: z.string() })).default([]),
  scopes: z.array(z.object({ name: z.string() })).default([]),
});
const entrySchema = z.object({
  cidrBlock: z.string().nullish(),
  ipAddress: z.string().nullish(),
  awsSecurityGroup: z.string().nullish(),
  comment: z.string().nullish(),
});

/** The role that a key needs for these lookups. */
export const readRole = "Project Read Only";

const pageSize = 500;

/** @returns the lookups */
export function atlasLookups(access: AtlasAccess): AtlasLookups {
  const base = atlasBase(access);
  const ask = atlasFetch(access);
  const { timeoutMs = 20_000 } = access;

  async function get<T>(
    subject: string,
    path: string,
    version: string,
    schema: z.ZodType<T>,
    change?: { method: string; body: unknown },
  ): Promise<LookupResult<T>> {
    if (ask === undefined) {
      const reason =
        "no credentials: MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY (or MONGODB_ATLAS_CLIENT_ID and MONGODB_ATLAS_CLIENT_SECRET) are not both set";
      return failure({ kind: "no-credentials", subject, reason });
    }
    try {
      const response = await ask(`${base}${path}`, {
        headers: {
          accept: version ? `application/vnd.atlas.${version}+json` : "application/json",
          ...(change && { "content-type": "application/json" }),
        },
        ...(change && { method: change.method, body: JSON.stringify(change.body) }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await response.text();
      if (!response.ok) return failure(atlasFailure(response.status, text, subject));
      const parsed = schema.safeParse(JSON.parse(text));
      if (parsed.success) return success(parsed.data);
      return failure({
        kind: "refused",
        subject,
        reason: `an answer not understood: ${z.prettifyError(parsed.error)}`,
      });
    } catch (error) {
      if (error instanceof TokenRefused) return failure(atlasFailure(error.status, error.text, subject));
      const reason = error instanceof SyntaxError ? `no JSON from ${base}` : `${base}: ${errorText(error)}`;
      return failure({ kind: "unreachable", subject, reason });
    }
  }

  /** Reads every page of a list. */
  async function list<T>(
    subject: string,
    path: string,
    version: string,
    item: z.ZodType<T>,
  ): Promise<LookupResult<T[]>> {
    const page = z.object({ results: z.array(item), totalCount: z.int().optional() });
    const all: T[] = [];
    for (let number = 1; ; number += 1) {
      const url = `/api/atlas/v2${path}?itemsPerPage=${pageSize}&pageNum=${number}&includeCount=true`;
      const got = await get(subject, url, version, page);
      if (!got.ok) return got;
      const { results, totalCount = 0 } = got.value;
      all.push(...results);
      if (results.length < pageSize || all.length >= totalCount) return success(all);
    }
  }

  const dedicated = async (projectId: string): Promise<LookupResult<Cluster[]>> =>
    mapResult(await list("the clusters", `/groups/${projectId}/clusters`, "2024-08-05", clusterSchema), (found) =>
      found.map((cluster) => {
        const region = cluster.replicationSpecs[0]?.regionConfigs[0];
        const provider = region?.backingProviderName ?? region?.providerName;
        return {
          id: cluster.id,
          name: cluster.name,
          kind: "dedicated" as const,
          state: cluster.stateName,
          paused: cluster.paused,
          region: region ? `${provider} ${region.regionName}` : "",
          size: region?.electableSpecs?.instanceSize ?? "",
          mongodbVersion: cluster.mongoDBVersion,
        };
      }),
    );
  const flex = async (projectId: string): Promise<LookupResult<Cluster[]>> =>
    mapResult(await list("the Flex clusters", `/groups/${projectId}/flexClusters`, "2024-11-13", flexSchema), (found) =>
      found.map(({ id, name, stateName, mongoDBVersion, providerSettings }) => ({
        id,
        name,
        kind: "flex" as const,
        state: stateName,
        paused: false,
        region: `${providerSettings.backingProviderName} ${providerSettings.regionName}`,
        size: "FLEX",
        mongodbVersion: mongoDBVersion,
      })),
    );

  return {
    projects: () => list("the projects", "/groups", "2023-01-01", projectSchema),
    project: (projectId) =>
      get(`the project ${projectId}`, `/api/atlas/v2/groups/${projectId}`, "2023-01-01", projectSchema),
    async clusters(projectId) {
      const [large, small] = await Promise.all([dedicated(projectId), flex(projectId)]);
      if (!large.ok || !small.ok) return large.ok ? small : large;
      // An older version of the API lists Flex clusters among the others, too.
      const names = new Set(small.value.map(({ name }) => name));
      return success([...large.value.filter(({ name }) => !names.has(name)), ...small.value]);
    },
    databaseUsers: async (projectId) =>
      mapResult(
        await list("the database users", `/groups/${projectId}/databaseUsers`, "2023-01-01", userSchema),
        (found) =>
          found.map(({ username, databaseName, roles, scopes }) => ({
            username,
            databaseName,
            roles: roles.map((role) => `${role.roleName}@${role.databaseName}`),
            clusters: scopes.map(({ name }) => name),
          })),
      ),
    accessList: async (projectId) =>
      mapResult(await list("the access list", `/groups/${projectId}/accessList`, "2023-01-01", entrySchema), (found) =>
        found.map(({ cidrBlock, ipAddress, awsSecurityGroup, comment }) => ({
          cidrBlock: cidrBlock ?? (ipAddress ? `${ipAddress}/32` : (awsSecurityGroup ?? "")),
          comment: comment ?? "",
        })),
      ),
    async mayWrite(projectId) {
      const nobody = `/api/atlas/v2/groups/${projectId}/databaseUsers/admin/slm-network-nobody`;
      const change = { method: "PATCH", body: {} };
      const tried = await get("the right to change database users", nobody, "2023-01-01", z.unknown(), change);
      if (tried.ok || tried.failure.kind === "not-found" || tried.failure.kind === "refused") return success(true);
      return tried.failure.kind === "permission" ? success(false) : tried;
    },
    publicAddress: async () =>
      mapResult(
        await get(
          "this machine's public address",
          "/api/private/ipinfo", // what MongoDB's own tools ask for "add my current address"
          "",
          z.object({ currentIpv4Address: z.string() }),
        ),
        ({ currentIpv4Address }) => currentIpv4Address,
      ),
  };
}
