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
import { type Finding, fail, ok, warn } from "../../accounts/finding.ts";
import { describeFailure, type LookupFailure, type LookupResult } from "../../accounts/lookup-result.ts";

/** `documents.atlas` of the stack's config. */
export interface AtlasWanted {
  readonly projectId: string;
  readonly cluster: string | { readonly create: { readonly name: string } };
  readonly database: string;
  readonly userPrefix?: string | undefined;
  readonly allowFrom: readonly string[];
}

const keysPage = "cloud.mongodb.com → the project → Project Access → Applications → API Keys";

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
  const key = ok("atlas.key", `the Atlas key may read the project ${project.value.name}`);
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
  const here = failure.address ?? (address.ok ? address.value : "this machine's address");
  const said = describeFailure(failure);
  switch (failure.kind) {
    case "no-credentials":
      return fail(
        id,
        "no Atlas credentials are set",
        `Make a service account (cloud.mongodb.com → the project → Project Access → Applications → Service Accounts; role Project Owner, Project Read Only for previews): MONGODB_ATLAS_CLIENT_ID=… and MONGODB_ATLAS_CLIENT_SECRET=… in .env; or an API key: MONGODB_ATLAS_PUBLIC_KEY=… and MONGODB_ATLAS_PRIVATE_KEY=…`,
      );
    case "credentials":
      return fail(
        id,
        `Atlas does not accept the API key or service account (${said})`,
        `Copy both halves again, or make a new one: ${keysPage}`,
      );
    case "address":
      return fail(
        id,
        `the Atlas API key may not be used from here: its own access list lacks ${here}`,
        `Add ${here} to the key's API Access List (${keysPage} → Edit). That list is separate from the database's`,
      );
    case "permission":
    case "no-access":
    case "not-found":
      return fail(
        id,
        `documents.atlas.projectId: the API key sees no project ${projectId} (${failure.reason})`,
        "Compare the id (Atlas → Project Settings), and add the key to that project: Project Access → Applications → API Keys → Invite",
      );
    case "limited":
    case "unreachable":
    case "not-enabled":
    case "refused":
      return warn(id, `Atlas did not answer: ${said}`, "Try again; https://status.mongodb.com shows outages");
  }
}

function writeFinding(may: LookupResult<boolean>): Finding {
  const id = "atlas.permission";
  if (!may.ok) return unanswered(id, may.failure);
  if (may.value) return ok(id, "the Atlas key may change the project");
  return fail(id, "the Atlas key may only read the project", `Give it the role Project Owner: ${keysPage} → Edit`);
}

/** A paused cluster refuses connections; one that is being changed does so for minutes. */
export function clusterFindings(wanted: AtlasWanted["cluster"], clusters: readonly Cluster[]): Finding[] {
  const id = "atlas.cluster";
  const name = typeof wanted === "string" ? wanted : wanted.create.name;
  const found = clusters.find((cluster) => cluster.name === name);
  const names = clusters.map((cluster) => cluster.name).join(", ") || "none";
  if (typeof wanted !== "string") {
    if (found && found.kind !== "flex") {
      const todo = `Choose another name, or set cluster: ${name} to use that one`;
      return [fail(id, `documents.atlas.cluster.create: a cluster ${name} exists already (${found.size})`, todo)];
    }
    return [
      ok(
        id,
        found ? `the Flex cluster ${name} exists` : `${name} will be created as a Flex cluster, which takes minutes`,
      ),
    ];
  }
  if (!found) {
    const todo = "Set one of these names, or { create: { name: slm } } for a new Flex cluster";
    return [
      fail(id, `documents.atlas.cluster: the project has no cluster ${JSON.stringify(name)}; it has ${names}`, todo),
    ];
  }
  if (found.paused) {
    const todo =
      "Atlas → Clusters → … → Resume; it takes some minutes (a paused one is resumed by Atlas after 30 days anyway)";
    return [fail(id, `the cluster ${name} is paused: nothing can connect to it`, todo)];
  }
  if (found.state !== "IDLE") {
    return [
      warn(
        id,
        `the cluster ${name} is ${found.state}`,
        "Wait until Atlas shows it as ready; `up` waits too, for minutes",
      ),
    ];
  }
  return [ok(id, `the cluster ${name} exists (${found.size}, ${found.region}, MongoDB ${found.mongodbVersion})`)];
}

/** The program creates two, named after the database. */
export function userFindings(prefix: string, users: readonly DatabaseUser[], owned: Owned): Finding[] {
  const id = "atlas.users";
  const names = [`${prefix}-schema`, `${prefix}-relay`];
  const others = users.filter(({ username }) => names.includes(username) && !owned("databaseUser", username));
  if (others.length === 0)
    return [ok(id, `the database users ${names.join(" and ")} are free or belong to this stack`)];
  return others.map(({ username, roles }) =>
    fail(
      id,
      `the database user ${username} (${roles.join(", ")}) exists and does not belong to this stack`,
      "Another stack of this Atlas project? Set documents.atlas.userPrefix, or use another documents.atlas.database; or delete that user when nobody signs in as it (Atlas → Database Access); `npm run init -- --adopt` adopts it",
    ),
  );
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
    return [ok(id, `the cluster accepts this machine's address (${address.value})`)];
  }
  return [
    fail(
      id,
      `documents.atlas.allowFrom is ${allowFrom.join(", ")}, and Atlas sees this machine as ${address.value}: \`up\` could not create the collection`,
      `Add ${address.value}/32; if the Mac is in another network, its public address too`,
    ),
  ];
}

function asked<T>(id: string, answer: LookupResult<T>, judge: (value: T) => Finding[]): Finding[] {
  return answer.ok ? judge(answer.value) : [unanswered(id, answer.failure)];
}

const unanswered = (id: string, failure: LookupFailure): Finding =>
  failure.kind === "permission"
    ? fail(
        id,
        `the Atlas key may not do this: ${describeFailure(failure)}`,
        `Give it the role Project Owner: ${keysPage} → Edit`,
      )
    : warn(
        id,
        `could not be checked: ${describeFailure(failure)}`,
        "Try again; https://status.mongodb.com shows outages",
      );
