import { afterEach, expect, test } from "vitest";
import { type AtlasWanted, checkAtlas } from "../../../commands/preflight/atlas.ts";
import { type Harness, projectId, startHarness } from "../../sandbox/atlas/harness.ts";

let h: Harness | undefined;
afterEach(async () => {
  await h?.close();
  h = undefined;
});

const wanted: AtlasWanted = { projectId, cluster: "main", database: "slm", allowFrom: ["203.0.113.7/32"] };
const readKey = { publicKey: "reader", privateKey: "reading" };

async function bad(
  harness: Harness,
  more: Partial<AtlasWanted> = {},
  key = { publicKey: "public", privateKey: "private" },
  readOnly = false,
) {
  const access = { ...key, baseUrl: harness.url };
  const found = await checkAtlas({ ...wanted, ...more }, { access, owned: () => false, readOnly });
  return found
    .filter(({ level }) => level !== "ok")
    .map(({ id, level, says, todo }) => ({ id, level, text: `${says}. ${todo}` }));
}

test("a valid project and a key that can write; checking changes nothing", async () => {
  h = await startHarness();
  expect(await bad(h)).toEqual([]);
  expect((await h.call("GET", "/databaseUsers")).body).toMatchObject({ totalCount: 0 });
  expect(h.lines.filter((line) => !line.includes(" GET "))).toEqual([
    `atlas: PATCH /api/atlas/v2/groups/${projectId}/databaseUsers/admin/slm-network-nobody → 404`,
  ]);
});

test("a read-only key: blocks up, and is enough for a preview", async () => {
  h = await startHarness({ readOnlyKey: readKey });
  expect(await bad(h, {}, readKey)).toMatchObject([
    { id: "atlas.permission", level: "fail", text: expect.stringContaining("Project Owner") },
  ]);
  expect(await bad(h, {}, readKey, true)).toEqual([]);
});

test("the key's own access list: names the missing address", async () => {
  h = await startHarness({ publicAddress: "198.51.100.4", conditions: { keyAddressAllowed: false } });
  const found = await bad(h);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatchObject({ id: "atlas.key", level: "fail" });
  expect(found[0]?.text).toContain("Add 198.51.100.4 to the key's API Access List");
});

test("no key, a wrong key, a project without access", async () => {
  h = await startHarness();
  expect((await bad(h, {}, { publicKey: "", privateKey: "" }))[0]?.text).toContain("no Atlas credentials are set");
  expect((await bad(h, {}, { publicKey: "public", privateKey: "wrong" }))[0]?.text).toContain(
    "does not accept the API key",
  );
  expect((await bad(h, { projectId: "0".repeat(24) }))[0]?.text).toContain("sees no project");
});

test("a paused cluster, a blocked address, a user with the same name: all at once", async () => {
  h = await startHarness({ publicAddress: "198.51.100.4", conditions: { clusterPaused: true } });
  await h.call("POST", "/databaseUsers", {
    username: "slm-schema",
    databaseName: "admin",
    password: "long-enough-password",
    roles: [{ roleName: "readWrite", databaseName: "slm" }],
  });
  const found = await bad(h);
  expect(found.map(({ id, level }) => [id, level])).toEqual([
    ["atlas.cluster", "fail"],
    ["atlas.users", "fail"],
    ["atlas.address", "fail"],
  ]);
  expect(found[2]?.text).toContain("Add 198.51.100.4/32");
  await h.call("POST", "/accessList", [{ cidrBlock: "198.51.100.0/24" }]);
  expect((await bad(h)).map(({ id }) => id)).not.toContain("atlas.address");
});
