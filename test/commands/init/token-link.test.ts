import { expect, it } from "vitest";
import { dashboardName, neededPermissions } from "../../../accounts/permissions.ts";
import { tokenFormUrl, tokenInstructions } from "../../../commands/init/token-link.ts";

const shortest = neededPermissions({ alerts: { emails: [] }, route: {} }, false);

it("links to the account's token form, with the account's permissions ticked and none of the zone's", () => {
  const url = new URL(tokenFormUrl(shortest));
  expect(`${url.origin}${url.pathname}`).toBe("https://dash.cloudflare.com/");
  expect(url.searchParams.get("to")).toBe("/:account/api-tokens");
  expect(url.searchParams.get("name")).toBe("slm-network");
  expect(JSON.parse(url.searchParams.get("permissionGroupKeys") ?? "")).toEqual([
    { key: "argotunnel", type: "edit" },
    { key: "access", type: "edit" },
    { key: "access_acct", type: "read" },
  ]);
});

it("names every permission exactly once, ticked or not", () => {
  for (const emails of [[], ["ops@example.com"]]) {
    const permissions = neededPermissions({ alerts: { emails }, route: {} }, false);
    const text = tokenInstructions(permissions).join("\n");
    for (const permission of permissions) expect(text.split(dashboardName(permission))).toHaveLength(2);
    expect(text).toMatch(/Tick as well: Account · Access: Service Tokens · Edit/);
    expect(text).toMatch(/"Add policy".*Zone · Zone · Read/);
    expect(text).toMatch(/expiration.*public address/);
  }
});
