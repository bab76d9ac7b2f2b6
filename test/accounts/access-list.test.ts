import { describe, expect, it } from "vitest";
import { accessListText, planAccessList } from "../../accounts/access-list.ts";
import type { AccessListEntry } from "../../accounts/atlas.ts";
import type { DeployedResource } from "../../accounts/deployed.ts";
import { failure, success } from "../../accounts/lookup-result.ts";
import { parseStackConfig } from "../../config/config.ts";
import { resourceTypes } from "../../config/resource-types.ts";

const config = (store: "atlas" | "embedded", allowFrom: string[]) =>
  parseStackConfig({
    hostname: "slm.example.com",
    zoneId: "0".repeat(32),
    accountId: "a".repeat(32),
    access: { servers: [{ name: "backend" }] },
    macs: [{ host: "192.0.2.1", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
    model: { embeddingModel: "bge-m3" },
    documents: { store, atlas: { projectId: "0".repeat(24), cluster: "main", allowFrom } },
    tunnelSecret: Buffer.alloc(32, 1).toString("base64"),
    atlasSchemaPassword: "one-password-long",
    atlasRelayPassword: "two-password-long",
  });
const deployed = (cidrBlock: string, comment: string): DeployedResource => ({
  urn: "urn",
  type: resourceTypes.accessListEntry.token,
  name: "slm-from",
  outputs: { cidrBlock, comment },
});
const [office, ci] = ["203.0.113.7/32", "198.51.100.0/24"];
const lookups = (...entries: AccessListEntry[]) => ({ accessList: async () => success(entries) });

describe("the project's access list", () => {
  it("keeps an entry that exists: it is not declared, and reported", async () => {
    const other = { cidrBlock: office, comment: "the shop's backend" };
    const plan = await planAccessList(config("atlas", [office, ci]), lookups(other), []);
    expect(plan).toMatchObject({ declare: [ci], keep: [other] });
    expect(accessListText(plan)).toEqual([
      expect.stringMatching(
        /203\.0\.113\.7\/32 is in .* already \(comment "the shop's backend"\).*left alone.*destroy/,
      ),
    ]);
  });

  it("goes on declaring what the state has, with the comment that it has, without a question", async () => {
    const never = {
      accessList: () => {
        throw new Error("asked");
      },
    };
    const plan = await planAccessList(config("atlas", [office]), never, [deployed(office, "slm-network")]);
    expect(plan.declare).toEqual([office]);
    expect(plan.comments.get(office)).toBe("slm-network");
    expect(accessListText(plan)).toEqual([]);
  });

  it("declares its own entry beside one that exists", async () => {
    const plan = await planAccessList(
      config("atlas", [office, ci]),
      lookups({ cidrBlock: office, comment: "slm-network" }, { cidrBlock: ci, comment: "other" }),
      [deployed(office, "slm-network")],
    );
    expect(plan).toMatchObject({ declare: [office], keep: [{ cidrBlock: ci }] });
  });

  it.each([
    ["cannot be read", { accessList: async () => failure({ kind: "permission", subject: "the list", reason: "403" }) }],
    ["can be read by the provider only", undefined],
  ])("is declared as a whole, with a warning, when it %s", async (_why, unreadable) => {
    const plan = await planAccessList(config("atlas", [office]), unreadable, []);
    expect(plan.declare).toEqual([office]);
    expect(accessListText(plan).join()).toMatch(/could not be read .*would remove it/);
  });

  it("is not asked for with the embedded store", async () => {
    expect((await planAccessList(config("embedded", [office]), undefined, [])).declare).toEqual([]);
  });
});
