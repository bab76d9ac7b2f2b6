import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Harness, raw, refusalOf, startHarness, zone_id } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

const tunnelId = randomUUID();
const content = `${tunnelId}.cfargotunnel.com`;
const records = () => h.client.dns.records;
const cname = (name = "slm.example.com") =>
  records().create({ zone_id, type: "CNAME", name, content, proxied: true, ttl: 1 });

test("a proxied CNAME is created, read, listed, changed, deleted; the edge follows", async () => {
  const told: (string | undefined)[] = [];
  h.account.onChange((id) => told.push(id));
  const made = await cname("SLM.example.com");
  expect(made).toMatchObject({
    name: "slm.example.com",
    content,
    proxied: true,
    proxiable: true,
    ttl: 1,
    comment: null,
  });
  expect(made).toMatchObject({ settings: {}, tags: [], meta: {} });
  expect(await records().get(made.id, { zone_id })).toEqual(made);
  expect(h.account.tunnelFor("slm.example.com")).toBe(tunnelId);
  expect(h.account.tunnelFor("other.example.com")).toBeUndefined();
  await cname("second.example.com");
  expect(h.account.hostnames()).toEqual(["slm.example.com", "second.example.com"]);
  const found = [];
  for await (const one of records().list({ zone_id, name: { exact: "slm.example.com" }, type: "CNAME" }))
    found.push(one.id);
  expect(found).toEqual([made.id]);
  expect((await records().list({ zone_id, name: { startswith: "sec" } })).result).toHaveLength(1);
  const edited = await records().edit(made.id, {
    zone_id,
    type: "CNAME",
    name: "slm.example.com",
    ttl: 1,
    proxied: false,
  });
  expect(edited).toMatchObject({ id: made.id, proxied: false, content });
  expect(h.account.tunnelFor("slm.example.com")).toBeUndefined();
  const put = { zone_id, type: "CNAME" as const, name: "slm.example.com", content, proxied: true, ttl: 1 as const };
  expect(await records().update(made.id, put)).toMatchObject({ id: made.id, proxied: true });
  expect(await records().delete(made.id, { zone_id })).toEqual({ id: made.id });
  expect(await refusalOf(records().get(made.id, { zone_id }))).toMatchObject({ status: 404, code: 81044 });
  expect(told).toEqual([undefined, undefined, undefined, undefined, undefined]);
});

test("a wildcard serves a name that has no record of its own", async () => {
  await cname("*.example.com");
  expect(h.account.tunnelFor("any.example.com")).toBe(tunnelId);
  expect(h.account.tunnelFor("a.b.example.com")).toBeUndefined();
  await records().create({ zone_id, type: "A", name: "own.example.com", content: "192.0.2.1", ttl: 300 });
  expect(h.account.tunnelFor("own.example.com")).toBeUndefined();
  expect(h.account.hostnames()).toEqual([]);
});

describe("records that cannot stand beside each other", () => {
  test("a CNAME beside an A, a second CNAME, an A beside a CNAME, and an identical one are refused", async () => {
    await cname();
    expect(await refusalOf(cname())).toMatchObject({ status: 400, code: 81057 });
    const other = {
      zone_id,
      type: "CNAME" as const,
      name: "slm.example.com",
      content: "other.example.net",
      ttl: 1 as const,
    };
    expect(await refusalOf(records().create(other))).toMatchObject({ status: 400, code: 81053 });
    const a = { zone_id, type: "A" as const, name: "slm.example.com", content: "192.0.2.1", ttl: 60 };
    expect(await refusalOf(records().create(a))).toMatchObject({ status: 400, code: 81054 });
    await records().create({ ...a, name: "a.example.com" });
    await records().create({ ...a, name: "a.example.com", content: "192.0.2.2" });
    expect(await refusalOf(cname("a.example.com"))).toMatchObject({ status: 400, code: 81053 });
    const second = await cname("b.example.com");
    const renamed = { ...other, content };
    expect(await refusalOf(records().update(second.id, renamed))).toMatchObject({ code: 81057 });
  });
});

test.each([
  [{ name: "slm.example.org" }, /name.*not in the zone example.com/],
  [{ name: "not a name" }, /name/],
  [{ ttl: 30 }, /ttl.*Invalid TTL/],
  [{ ttl: 86_401 }, /ttl.*Invalid TTL/],
  [{ ttl: undefined }, /ttl/],
  [{ type: "CNAMES" }, /type/],
  [{ type: "TXT", content: "v=1", proxied: true }, /cannot be proxied/],
  [{ type: "A", content: "192.0.2.300" }, /valid IPv4 address/],
  [{ type: "AAAA", content: "192.0.2.3" }, /valid IPv6 address/],
  [{ content: "slm.example.com" }, /cannot reference itself/],
  [{ content: "no host" }, /host name/],
  [{ proxy: true }, /proxy/],
  [{ proxied: "yes" }, /proxied/],
])("%o is refused", async (change, message) => {
  const good = { type: "CNAME", name: "slm.example.com", content, proxied: true, ttl: 1 };
  const answer = await raw(h.url, "POST", `/zones/${zone_id}/dns_records`, { ...good, ...change });
  expect(answer.status).toBe(400);
  expect(answer.success).toBe(false);
  expect(answer.errors[0]?.message).toMatch(message);
});

test("null in a patch takes a field away", async () => {
  const made = await records().create({
    zone_id,
    type: "TXT",
    name: "t.example.com",
    content: "x",
    ttl: 60,
    comment: "c",
  });
  expect(made.comment).toBe("c");
  const answer = await raw(h.url, "PATCH", `/zones/${zone_id}/dns_records/${made.id}`, { comment: null });
  expect(answer.result).toMatchObject({ comment: null, content: "x" });
});
