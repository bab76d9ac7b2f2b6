/** What an interrupted `pulumi up` may have left in the accounts: pure functions. */
import { z } from "zod";
import { kindOf, type ResourceKind } from "../../config/resource-types.ts";

/** The parts of `pulumi stack export` that are used here. */
export const exportSchema = z.object({
  deployment: z.object({
    resources: z
      .array(
        z.object({
          type: z.string(),
          id: z.string().optional(),
          inputs: z.record(z.string(), z.unknown()).default({}),
        }),
      )
      .default([]),
    pending_operations: z
      .array(
        z.object({
          type: z.string(),
          resource: z.object({
            urn: z.string(),
            type: z.string(),
            inputs: z.record(z.string(), z.unknown()).default({}),
          }),
        }),
      )
      .default([]),
  }),
});
export type StackExport = z.infer<typeof exportSchema>;

/** Where to look for what an unfinished creation may have created, and how to recognise it. */
export interface Search {
  urn: string;
  type: string;
  api: "cloudflare" | "atlas";
  /** Lists candidates. */
  path: string;
  /** Fields of the API's answer that must have these values. */
  match: Record<string, unknown>;
  /** The field with the id that the state would have; a DELETE's path ends with it. */
  idField: string;
  /** Stands before the id in the path of a DELETE. */
  idPrefix: string;
}

type Inputs = Record<string, unknown>;
interface Kind {
  api: Search["api"];
  list(inputs: Inputs): string;
  /** Field of the API's answer → name of the input. */
  match: Record<string, string>;
  idField?: string;
  idPrefix?: string;
}

const account = (rest: string) => (inputs: Inputs) => `/accounts/${String(inputs.accountId)}/${rest}`;
const zone = (rest: string) => (inputs: Inputs) => `/zones/${String(inputs.zoneId)}/${rest}`;
const named = { name: "name" };

const adopted = "the next `up` adopts it by creating it again";

/** In the order of deletion: what refers to others first. A text says why nothing is searched for. */
const kinds: Readonly<Record<ResourceKind, Kind | string>> = {
  record: {
    api: "cloudflare",
    list: zone("dns_records?per_page=5000"),
    match: { name: "name", type: "type", content: "content" },
  },
  region: {
    api: "cloudflare",
    list: zone("addressing/regional_hostnames"),
    match: { hostname: "hostname" },
    idField: "hostname",
  },
  customHostname: {
    api: "cloudflare",
    list: zone("custom_hostnames?per_page=1000"),
    match: { hostname: "hostname" },
  },
  application: {
    api: "cloudflare",
    list: account("access/apps?per_page=1000"),
    match: named,
  },
  accessPolicy: {
    api: "cloudflare",
    list: account("access/policies?per_page=1000"),
    match: named,
  },
  serviceToken: {
    api: "cloudflare",
    list: account("access/service_tokens?per_page=1000"),
    match: named,
  },
  notification: {
    api: "cloudflare",
    list: account("alerting/v3/policies"),
    match: named,
  },
  tunnel: {
    api: "cloudflare",
    list: account("cfd_tunnel?is_deleted=false&per_page=1000"),
    match: named,
  },
  databaseUser: {
    api: "atlas",
    list: (inputs) => `/groups/${String(inputs.projectId)}/databaseUsers?itemsPerPage=500`,
    match: { username: "username" },
    idField: "username",
    idPrefix: "admin/", // the database that the user authenticates against
  },
  ingress: adopted,
  fallbackOrigin: adopted,
  identityProvider: "an account has one, and the next `up` uses it",
  // Its comment names the stack, and an entry that existed before was never declared.
  accessListEntry: {
    api: "atlas",
    list: (inputs) => `/groups/${String(inputs.projectId)}/accessList?itemsPerPage=500`,
    match: { cidrBlock: "cidrBlock", comment: "comment" },
    idField: "cidrBlock",
  },
  cluster: "may hold data: `npm run preflight` lists it, and a person decides",
  collection: adopted,
  tunnelConnections: "creates nothing",
  upload: adopted,
  mac: adopted,
  retiredCommand: "creates nothing",
};

/** @returns a search for each unfinished creation that may have left something */
export function searches({ deployment }: StackExport): Search[] {
  const order = Object.keys(kinds);
  const place = (type: string) => order.indexOf(kindOf(type) ?? "");
  return deployment.pending_operations
    .filter(({ type }) => type === "creating")
    .map(({ resource }) => resource)
    .sort((one, other) => place(one.type) - place(other.type))
    .flatMap(({ urn, type, inputs }) => {
      const known = kindOf(type);
      const kind = known && kinds[known];
      if (kind === undefined || typeof kind === "string") return [];
      const match = Object.fromEntries(Object.entries(kind.match).map(([field, input]) => [field, inputs[input]]));
      return [
        {
          urn,
          type,
          api: kind.api,
          path: kind.list(inputs),
          match,
          idField: kind.idField ?? "id",
          idPrefix: kind.idPrefix ?? "",
        },
      ];
    });
}

/** One item of a list in an account. */
export const itemSchema = z.record(z.string(), z.unknown());

/** @returns the listed items that the search is for and that are not in the state */
export function orphans(search: Search, listed: z.infer<typeof itemSchema>[], { deployment }: StackExport) {
  const { match, idField } = search;
  const known = deployment.resources.flatMap(({ type, id, inputs }) => {
    if (type !== search.type) return [];
    // Resources identified by name have an id of the provider's own in the state; the inputs hold the name.
    return idField === "id" ? [id] : [inputs[idField]];
  });
  return listed.filter((item) => {
    const fits = Object.entries(match).every(([field, value]) => value !== undefined && item[field] === value);
    return fits && !known.includes(String(item[idField]));
  });
}
