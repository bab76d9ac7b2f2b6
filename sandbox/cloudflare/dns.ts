/**
 * DNS records of the zone.
 * @see https://developers.cloudflare.com/api/resources/dns/subresources/records/
 */
import { isIPv4, isIPv6 } from "node:net";
import { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { ApiError, checkBody, invalidBodyStyles, notFound, refuse } from "./errors.ts";
import {
  type Call,
  canRead,
  canWrite,
  hexId,
  hostname,
  now,
  optional,
  page,
  type Route,
  textFilters,
} from "./route.ts";
import type { StoredDnsRecord } from "./state.ts";
import { inZone } from "./zone-name.ts";

const group = "DNS";
const proxiableTypes = ["A", "AAAA", "CNAME"];

const shape = {
  // The API has more types. These are the ones needed here; others are refused by name.
  type: z.enum(["A", "AAAA", "CNAME", "TXT", "MX"]),
  name: hostname,
  content: z.string().min(1).max(4096),
  ttl: z
    .int()
    .refine(
      (ttl) => ttl === 1 || (ttl >= 60 && ttl <= 86_400),
      "Invalid TTL. Must be between 60 and 86400 seconds, or 1 for Automatic",
    ),
  proxied: optional(z.boolean()),
  priority: optional(z.int().min(0).max(65_535)),
  comment: optional(z.string().max(500)),
  tags: optional(z.array(z.string())),
  settings: optional(
    z.strictObject({
      ipv4_only: optional(z.boolean()),
      ipv6_only: optional(z.boolean()),
      flatten_cname: optional(z.boolean()),
    }),
  ),
  private_routing: optional(z.boolean()),
};

const recordSchema = z.strictObject(shape);
const patchSchema = z.strictObject({
  ...shape,
  type: optional(shape.type),
  name: optional(shape.name),
  content: optional(shape.content),
  ttl: optional(shape.ttl),
});

type Sent = z.infer<typeof recordSchema>;

function wire(record: StoredDnsRecord): Record<string, unknown> {
  return { ...record, proxiable: proxiableTypes.includes(record.type), meta: {} };
}

function checkContent(sent: Sent): void {
  const fail = (code: number, message: string): never => {
    throw new ApiError(400, [{ code, message, source: { pointer: "/content" } }]);
  };
  if (sent.type === "A" && !isIPv4(sent.content)) {
    fail(9005, `Content for A record must be a valid IPv4 address, not "${sent.content}"`);
  }
  if (sent.type === "AAAA" && !isIPv6(sent.content)) {
    fail(9006, `Content for AAAA record must be a valid IPv6 address, not "${sent.content}"`);
  }
  if (sent.type === "CNAME" || sent.type === "MX") {
    if (!hostname.safeParse(sent.content).success) {
      fail(9007, `Content for ${sent.type} record must be a host name, not "${sent.content}"`);
    }
    if (sent.content === sent.name) fail(9039, `CNAME content cannot reference itself (${sent.name})`);
  }
  if (sent.type === "MX" && sent.priority === undefined) fail(9102, "priority: an MX record needs one, e.g. 10");
}

/** Records that cannot coexist on one name (RFC 1034 section 3.6.2), with Cloudflare's error codes. */
function checkNeighbours(account: CloudflareAccount, sent: Sent, except?: string): void {
  const neighbours = Object.values(account.state.dnsRecords).filter(
    (other) => other.name === sent.name && other.id !== except,
  );
  const refuseWith = (code: number, message: string): never => {
    throw new ApiError(400, [{ code, message: `${message} (${sent.name}): change or delete that one` }]);
  };
  if (neighbours.some((other) => other.type === sent.type && other.content === sent.content)) {
    refuseWith(81057, "The record already exists.");
  }
  const hosts = neighbours.filter((other) => proxiableTypes.includes(other.type));
  if (sent.type === "CNAME" && hosts.length > 0) {
    refuseWith(81053, "An A, AAAA, or CNAME record with that host already exists.");
  }
  if (proxiableTypes.includes(sent.type) && hosts.some((other) => other.type === "CNAME")) {
    refuseWith(81054, "A CNAME record with that host already exists.");
  }
}

function checked(account: CloudflareAccount, sent: Sent, except?: string): Sent {
  if (!inZone(sent.name, account.zone.name)) {
    // The real API silently appends the zone to such a name; the emulator refuses it to reveal the mistake.
    throw refuse(
      invalidBodyStyles.dns,
      "name",
      `"${sent.name}" is not in the zone ${account.zone.name}: use a full name in it`,
    );
  }
  if (sent.proxied && !proxiableTypes.includes(sent.type)) {
    throw new ApiError(400, [
      {
        code: 9004,
        message: `This record type cannot be proxied (proxied: true on ${sent.type}): only A, AAAA and CNAME can`,
        source: { pointer: "/proxied" },
      },
    ]);
  }
  const content = ["CNAME", "MX", "AAAA"].includes(sent.type)
    ? sent.content.toLowerCase().replace(/\.$/, "")
    : sent.content;
  // A proxied record's TTL is always automatic.
  const record = { ...sent, content, ttl: sent.proxied ? 1 : sent.ttl };
  checkContent(record);
  checkNeighbours(account, record, except);
  return record;
}

function stored(sent: Sent, id: string, createdOn: string): StoredDnsRecord {
  return {
    id,
    name: sent.name,
    type: sent.type,
    content: sent.content,
    proxied: sent.proxied ?? false,
    ttl: sent.ttl,
    ...(sent.priority === undefined ? {} : { priority: sent.priority }),
    settings: sent.settings ?? {},
    comment: sent.comment ?? null,
    tags: sent.tags ?? [],
    created_on: createdOn,
    modified_on: now(),
  };
}

function put(account: CloudflareAccount, record: StoredDnsRecord) {
  account.update((state) => {
    state.dnsRecords[record.id] = record;
  }, "dns");
  return { result: wire(record) };
}

function find({ account, params }: Call): StoredDnsRecord {
  const record = account.state.dnsRecords[params.id ?? ""];
  if (record === undefined) throw notFound(81044, `Record does not exist (${params.id})`);
  return record;
}

function list({ account, query }: Call) {
  const matches = (record: StoredDnsRecord): boolean => {
    const results = [
      ...textFilters(query, "name", record.name),
      ...textFilters(query, "content", record.content),
      ...textFilters(query, "comment", record.comment ?? ""),
      ...(query.has("type") ? [query.get("type") === record.type] : []),
      ...(query.has("proxied") ? [query.get("proxied") === String(record.proxied)] : []),
    ];
    return query.get("match") === "any" && results.length > 0 ? results.some(Boolean) : results.every(Boolean);
  };
  const order = z.enum(["type", "name", "content", "ttl", "proxied"]).safeParse(query.get("order"));
  const records = Object.values(account.state.dnsRecords).filter(matches);
  if (order.success) records.sort((a, b) => String(a[order.data]).localeCompare(String(b[order.data])));
  if (query.get("direction") === "desc") records.reverse();
  return page(records.map(wire), query, 100);
}

function create({ account, body }: Call) {
  const sent = checked(account, checkBody(recordSchema, body, invalidBodyStyles.dns));
  return put(account, stored(sent, hexId(), now()));
}

function overwrite(call: Call) {
  const old = find(call);
  const sent = checked(call.account, checkBody(recordSchema, call.body, invalidBodyStyles.dns), old.id);
  return put(call.account, stored(sent, old.id, old.created_on));
}

function edit(call: Call) {
  const old = find(call);
  const patch = checkBody(patchSchema, call.body, invalidBodyStyles.dns);
  const { type, name, content, ttl, proxied, priority, comment, tags, settings } = old;
  const before = { type, name, content, ttl, proxied, priority, comment, tags, settings };
  const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined));
  // JSON null in a PATCH removes the field.
  const raw: object = typeof call.body === "object" && call.body !== null ? call.body : {};
  const cleared = Object.fromEntries(Object.entries(raw).filter(([, value]) => value === null));
  const merged = checkBody(recordSchema, { ...before, ...given, ...cleared }, invalidBodyStyles.dns);
  return put(call.account, stored(checked(call.account, merged, old.id), old.id, old.created_on));
}

function remove(call: Call) {
  const { id } = find(call);
  call.account.update((state) => {
    delete state.dnsRecords[id];
  }, "dns");
  return { result: { id } };
}

const one = "/zones/:zone/dns_records/:id";

/** Routes of DNS records. */
export const dnsRoutes: Route[] = [
  { method: "GET", path: "/zones/:zone/dns_records", permissions: canRead(group), handle: list },
  { method: "POST", path: "/zones/:zone/dns_records", permissions: canWrite(group), handle: create },
  { method: "GET", path: one, permissions: canRead(group), handle: (call) => ({ result: wire(find(call)) }) },
  { method: "PUT", path: one, permissions: canWrite(group), handle: overwrite },
  { method: "PATCH", path: one, permissions: canWrite(group), handle: edit },
  { method: "DELETE", path: one, permissions: canWrite(group), handle: remove },
];
