/** Is Atlas ready: the key, the cluster, the access list, taken names? */
import { BlockList, isIPv4 } from "node:net";
import {
  type AccessListEntry,
  type AtlasAccess,
  atlasLookups,
  type Cluster,
  type DatabaseUser,
} from "../../accounts/atlas.ts";
import type { Owned } from "../../accounts/collisions.ts";
import type { Finding } from "../../accounts/finding.ts";
import type { LookupFailure, LookupResult } from "../../accounts/lookup-result.ts";
import { fail, ok, warn } from "./messages.ts";

/** `documents.atlas` of the stack's config. */
export interface AtlasWanted {
  readonly projectId: string;
  readonly cluster: string | { readonly create: { readonly name: string } };
  readonly database: string;
  readonly userPrefix?: string | undefined;
  readonly allowFrom: readonly string[];
}

/** @param readOnly only what a preview needs. @returns all findings */
export async function checkAtlas(
  wanted: AtlasWanted,
  { access, owned, readOnly }: { access: AtlasAccess; owned: Owned; readOnly: boolean },
): Promise<Finding[]> {
  const atlas = atlasLookups(access);
  const { projectId } = wanted;
  const project = await atlas.project(projectId);
  const address = await atlas.publicAddress();
  if (!project.ok) return [keyFinding(project.failure, projectId, address)];
  const { name } = project.value;
  const key = ok("atlas.key", (say) => say.atlas.key(name));
  const [clusters, users, entries, may] = await Promise.all([
    atlas.clusters(projectId),
    atlas.databaseUsers(projectId),
    atlas.accessList(projectId),
    readOnly ? undefined : atlas.mayWrite(projectId),
  ]);
  return [
    key,
    ...(may ? [writeFinding(may)] : []),
    ...asked("atlas.cluster", clusters, (found) => clusterFindings(wanted.cluster, found)),
    ...asked("atlas.users", users, (found) => userFindings(wanted.userPrefix ?? wanted.database, found, owned)),
    ...(readOnly ? [] : addressFindings(wanted.allowFrom, address, entries)),
  ];
}

function keyFinding(failure: LookupFailure, projectId: string, address: LookupResult<string>): Finding {
  const id = "atlas.key";
  const here = failure.address ?? (address.ok ? address.value : undefined);
  switch (failure.kind) {
    case "no-credentials":
      return fail(id, (say) => say.atlas.noKey());
    case "credentials":
      return fail(id, (say) => say.atlas.keyUnknown(failure));
    case "address":
      return fail(id, (say) => say.atlas.keyAddress(here ?? say.atlas.here));
    case "permission":
    case "no-access":
    case "not-found":
      return fail(id, (say) => say.atlas.noProject(projectId, failure.reason));
    case "limited":
    case "unreachable":
    case "not-enabled":
    case "refused":
      return warn(id, (say) => say.atlas.silent(failure));
  }
}

function writeFinding(may: LookupResult<boolean>): Finding {
  const id = "atlas.permission";
  if (!may.ok) return unanswered(id, may.failure);
  return may.value ? ok(id, (say) => say.atlas.mayWrite) : fail(id, (say) => say.atlas.readOnly());
}

/** A paused cluster refuses connections; one that is being changed does so for minutes. */
export function clusterFindings(wanted: AtlasWanted["cluster"], clusters: readonly Cluster[]): Finding[] {
  const id = "atlas.cluster";
  const name = typeof wanted === "string" ? wanted : wanted.create.name;
  const found = clusters.find((cluster) => cluster.name === name);
  const names = clusters.map((cluster) => cluster.name).join(", ");
  if (typeof wanted !== "string") {
    if (found && found.kind !== "flex") return [fail(id, (say) => say.atlas.nameTaken(name, found.size))];
    return [ok(id, (say) => (found ? say.atlas.flexExists(name) : say.atlas.flexPlanned(name)))];
  }
  if (!found) return [fail(id, (say) => say.atlas.noCluster(name, names))];
  if (found.paused) return [fail(id, (say) => say.atlas.paused(name))];
  const { state, size, region, mongodbVersion } = found;
  if (state !== "IDLE") return [warn(id, (say) => say.atlas.busy(name, state))];
  return [ok(id, (say) => say.atlas.cluster(name, size, region, mongodbVersion))];
}

/** The program creates two, named after the database. */
export function userFindings(prefix: string, users: readonly DatabaseUser[], owned: Owned): Finding[] {
  const id = "atlas.users";
  const names = [`${prefix}-schema`, `${prefix}-relay`];
  const others = users.filter(({ username }) => names.includes(username) && !owned("databaseUser", username));
  if (others.length === 0) return [ok(id, (say) => say.atlas.usersFree(names))];
  return others.map(({ username, roles }) => fail(id, (say) => say.atlas.userTaken(username, roles.join(", "))));
}

/** @returns whether the address is in one of the networks (IPv4 CIDR) */
export function isAllowed(address: string, networks: readonly string[]): boolean {
  const list = new BlockList();
  for (const network of networks) {
    const [base = "", bits = "32"] = network.split("/");
    if (isIPv4(base)) list.addSubnet(base, Number(bits), "ipv4");
  }
  return isIPv4(address) && list.check(address, "ipv4");
}

function addressFindings(
  allowFrom: readonly string[],
  address: LookupResult<string>,
  entries: LookupResult<AccessListEntry[]>,
): Finding[] {
  const id = "atlas.address";
  if (!address.ok) return [unanswered(id, address.failure)];
  const there = entries.ok ? entries.value.map(({ cidrBlock }) => cidrBlock) : [];
  if (isAllowed(address.value, [...allowFrom, ...there])) {
    return [ok(id, (say) => say.atlas.address(address.value))];
  }
  return [fail(id, (say) => say.atlas.notAllowed(allowFrom.join(", "), address.value))];
}

function asked<T>(id: string, answer: LookupResult<T>, judge: (value: T) => Finding[]): Finding[] {
  return answer.ok ? judge(answer.value) : [unanswered(id, answer.failure)];
}

const unanswered = (id: string, failure: LookupFailure): Finding =>
  failure.kind === "permission"
    ? fail(id, (say) => say.atlas.forbidden(failure))
    : warn(id, (say) => say.atlas.notChecked(failure));
