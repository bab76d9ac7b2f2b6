import { expect, it } from "vitest";
import type { ServiceToken } from "../../../../accounts/cloudflare.ts";
import { type Adoptable, adoptableType } from "../../../../commands/init/adopt/adoptable.ts";
import { tokenVersions, withTokenVersions } from "../../../../commands/init/adopt/token-versions.ts";

const adopted = (server: string, id: string): Adoptable => ({
  shown: server,
  type: adoptableType("serviceToken"),
  name: `slm-token-${server}`,
  parent: "access",
  id: `accounts/a/${id}`,
  means: [],
});
const token = (id: string, secretVersion?: number) =>
  ({ id, name: id, clientId: id, enabled: true, secretVersion }) as ServiceToken;
const now = new Date("2026-11-28T10:00:00.123Z");
const servers = [
  { name: "backend", secretVersion: 1 },
  { name: "batch", secretVersion: 1 },
];
const file = `config:
  slm-network:access:
    servers:
      - name: backend # the company's own
      - name: batch
`;

it("writes the version of a token that was rotated by hand, so that up does not put it back to 1", () => {
  const versions = tokenVersions(
    [adopted("backend", "t1"), adopted("batch", "t2")],
    [token("t1", 3), token("t2", 1)],
    servers,
    now,
  );
  expect([...versions]).toEqual([["backend", { secretVersion: 3, previousSecretExpiresAt: "2026-11-28T10:00:00Z" }]]);
  expect(withTokenVersions(file, versions)).toMatch(
    /- name: backend # the company's own\n {8}secretVersion: 3\n {8}previousSecretExpiresAt: "2026-11-28T10:00:00Z"\n {6}- name: batch\n$/,
  );
});

it("leaves a stack file that says it already, a token that is not adopted, and a version that is not known", () => {
  const said = [{ name: "backend", secretVersion: 3 }];
  expect(tokenVersions([adopted("backend", "t1")], [token("t1", 3)], said, now).size).toBe(0);
  expect(tokenVersions([], [token("t1", 3)], servers, now).size).toBe(0);
  expect(tokenVersions([adopted("backend", "t1")], [token("t1")], servers, now).size).toBe(0);
});
