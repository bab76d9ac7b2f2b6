/**
 * The project's IP access list.
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-project-ip-access-list
 */
import { isIP } from "node:net";
import { z } from "zod";
import { AtlasError, checkBody } from "./errors.ts";
import { type Answer, type Call, type Project, page, type Route } from "./route.ts";
import type { StoredEntry } from "./state.ts";

const entrySchema = z
  .strictObject({
    cidrBlock: z.string().optional(),
    ipAddress: z.string().optional(),
    comment: z.string().max(80).nullish(),
    groupId: z.string().optional(),
    awsSecurityGroup: z.undefined({ error: "the sandbox has no VPC peering: use cidrBlock" }).optional(),
    deleteAfterDate: z.undefined({ error: "the sandbox has no temporary entries: leave it out" }).optional(),
  })
  .refine((entry) => (entry.cidrBlock === undefined) !== (entry.ipAddress === undefined), {
    error: "exactly one of cidrBlock and ipAddress",
    path: ["cidrBlock"],
  });

function addressBits(address: string): bigint {
  if (isIP(address) === 4) return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // Nobody writes an IPv4 tail (::ffff:192.0.2.1) in a CIDR block; the URL parser expands all other forms.
  const full = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [head = "", tail] = full.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = [
    ...left,
    ...Array<string>(tail === undefined ? 0 : 8 - left.length - right.length).fill("0"),
    ...right,
  ];
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** Why a text is not a CIDR block; undefined when it is one. */
export function cidrFault(text: string): string | undefined {
  const [address = "", bits = "", ...more] = text.split("/");
  const family = isIP(address);
  const size = family === 4 ? 32 : 128;
  if (family === 0 || more.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > size) {
    return `"${text}" is not in CIDR notation: expected an address and a length, e.g. 203.0.113.0/24`;
  }
  const hostBits = BigInt(size - Number(bits));
  if (addressBits(address) & ((1n << hostBits) - 1n)) {
    return `"${text}" has bits set outside of its ${bits} bits: the address must be the network's first`;
  }
  return undefined;
}

/** The stored form of a submitted entry. */
function entryOf(sent: z.infer<typeof entrySchema>, activeAt: number): StoredEntry {
  if (sent.ipAddress !== undefined && isIP(sent.ipAddress) === 0) {
    const detail = `Invalid attribute ipAddress specified: "${sent.ipAddress}" is not an IP address.`;
    throw new AtlasError(400, "INVALID_ATTRIBUTE", detail, ["ipAddress"]);
  }
  const full = (address: string): string => `${address}/${isIP(address) === 4 ? 32 : 128}`;
  const cidrBlock = sent.cidrBlock ?? full(sent.ipAddress ?? "");
  const fault = cidrFault(cidrBlock);
  if (fault !== undefined) {
    throw new AtlasError(400, "INVALID_ATTRIBUTE", `Invalid attribute cidrBlock specified: ${fault}.`, ["cidrBlock"]);
  }
  const [address = ""] = cidrBlock.split("/");
  const single = cidrBlock === full(address);
  return { cidrBlock, ...(single ? { ipAddress: address } : {}), comment: sent.comment ?? "", activeAt };
}

function wire(project: Project, { activeAt: _, ...entry }: StoredEntry): Record<string, unknown> {
  return { groupId: project.id, ...entry, links: [] };
}

function list({ project, query }: Call): Answer {
  return page(
    Object.values(project.state.accessList).map((entry) => wire(project, entry)),
    query,
  );
}

/** Applies the access list. */
async function apply(project: Project): Promise<void> {
  await project.effects.accessList(Object.keys(project.state.accessList), project.delays.accessMs);
}

async function create(call: Call): Promise<Answer> {
  const { project, body } = call;
  const activeAt = Date.now() + project.delays.accessMs;
  const entries = checkBody(z.array(entrySchema).min(1), body).map((sent) => entryOf(sent, activeAt));
  for (const entry of entries) {
    const old = project.state.accessList[entry.cidrBlock];
    project.state.accessList[entry.cidrBlock] = { ...entry, activeAt: old?.activeAt ?? activeAt };
  }
  project.changed();
  await apply(project);
  return { status: 201, body: list({ ...call, query: new URLSearchParams() }).body };
}

/** Finds an entry by its CIDR block, or by its address when it covers one address. */
function find({ project, params }: Call): StoredEntry {
  const [wanted = ""] = params;
  const entry = Object.values(project.state.accessList).find(
    ({ cidrBlock, ipAddress }) => cidrBlock === wanted || ipAddress === wanted,
  );
  if (entry === undefined) {
    const detail = `IP Address ${wanted} not on Atlas access list for group ${project.id}.`;
    throw new AtlasError(404, "ATLAS_NETWORK_PERMISSION_ENTRY_NOT_FOUND", detail, [wanted, project.id]);
  }
  return entry;
}

async function remove(call: Call): Promise<Answer> {
  const { project } = call;
  delete project.state.accessList[find(call).cidrBlock];
  project.changed();
  await apply(project);
  return { status: 204 };
}

/** Routes of the access list. */
export const accessListRoutes: Route[] = [
  { method: "GET", path: "/accessList", handle: list },
  { method: "POST", path: "/accessList", handle: create },
  { method: "GET", path: "/accessList/*", handle: (call) => ({ body: wire(call.project, find(call)) }) },
  {
    method: "GET",
    path: "/accessList/*/status",
    handle: (call) => ({ body: { STATUS: find(call).activeAt <= Date.now() ? "ACTIVE" : "PENDING" } }),
  },
  { method: "DELETE", path: "/accessList/*", handle: remove },
];
