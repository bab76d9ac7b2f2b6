import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { neededPermissions, type Permission } from "../../../accounts/permissions.ts";

const uses = { alerts: { emails: ["ops@example.com"] }, route: { saasHostname: "slm.example.net" } };
const word = (permissions: Permission[], group: string) =>
  permissions.find((one) => one.group === group)?.level === "Write" ? "Edit" : "Read";

test("docs/preflight.md lists exactly the checked permissions", async () => {
  const text = await readFile(join(import.meta.dirname, "../../../docs/preflight.md"), "utf8");
  const rows = [...text.matchAll(/^\| ((?:Zone|Account) · .+?) +\| (\w+) +\| (\w+) +\| (.+?) +\|$/gm)].map((row) =>
    row.slice(1),
  );
  const [up, preview] = [neededPermissions(uses, false), neededPermissions(uses, true)];
  expect(rows).toEqual(
    up.map(({ scope, group, why }) => [`${scope} · ${group}`, word(up, group), word(preview, group), why]),
  );
});
