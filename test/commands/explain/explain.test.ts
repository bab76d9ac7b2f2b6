import { expect, test } from "vitest";
import { errorsIn, explain, renderExplanations } from "../../../commands/explain/explain.ts";
import { permissionFor } from "../../../commands/explain/known-errors/cloudflare.ts";
import { knownErrors } from "../../../commands/explain/known-errors.ts";

const api = "https://api.cloudflare.com/client/v4";
const a = "47b01bab55a46a3497e02b3699475822";
const body = (code: number, message: string) =>
  `{"success":false,"errors":[{"code":${code},"message":"${message}"}],"messages":[],"result":null}`;

/** As the official providers, the sandbox's, the engine and SSH write them. */
const said: [id: string, text: string, shows: string][] = [
  ["cloudflare.browser-check", "HTTP 403: error code: 1010", "Browser Integrity Check"],
  [
    "cloudflare.permission",
    `1 error occurred:\n\t* failed to make http request: POST "${api}/accounts/${a}/access/apps": 403 Forbidden ${body(10000, "Authentication error")}`,
    "Account · Access: Apps and Policies · Edit",
  ],
  [
    "cloudflare.permission",
    `POST /accounts/${a}/cfd_tunnel: 403 Authentication error (10000)`,
    "Cloudflare Tunnel · Edit",
  ],
  [
    "cloudflare.permission",
    `GET "${api}/accounts/${a}/cfd_tunnel/x/token": 401 Unauthorized {}`,
    "Cloudflare Tunnel · Read",
  ],
  ["cloudflare.permission", `PUT "${api}/zones/${a}/dns_records/1": 403 Forbidden {}`, "Zone · DNS · Edit"],
  [
    "cloudflare.not-enabled",
    `POST "${api}/accounts/${a}/access/apps": 403 Forbidden ${body(9999, "access.api.error.not_enabled: Access is not enabled.")}`,
    "Zero Trust",
  ],
  [
    "cloudflare.no-access",
    `GET "${api}/accounts/${a}/cfd_tunnel": 403 Forbidden ${body(9109, "Unauthorized to access requested resource")}`,
    `/accounts/${a}`,
  ],
  [
    "cloudflare.token",
    `POST "${api}/accounts/${a}/cfd_tunnel": 401 Unauthorized ${body(9109, "Invalid access token")}`,
    "API token",
  ],
  [
    "cloudflare.record-taken",
    `POST "${api}/zones/${a}/dns_records": 400 Bad Request ${body(81053, "An A, AAAA, or CNAME record with that host already exists.")}`,
    "DNS record",
  ],
  [
    "cloudflare.tunnel-taken",
    `POST "${api}/accounts/${a}/cfd_tunnel": 409 Conflict ${body(1013, "You already have a tunnel with this name")}`,
    "tunnel",
  ],
  [
    "cloudflare.global-key",
    `POST "${api}/accounts/${a}/cfd_tunnel": 403 Forbidden ${body(9103, "Unknown X-Auth-Key or X-Auth-Email")}`,
    "unset CLOUDFLARE_API_KEY",
  ],
  ["atlas.half-key", "API Key will be used but Public Key is required", "public half"],
  ["cloudflare.application-taken", "409 access.api.error.application_already_exists (11010)", "Access application"],
  [
    "cloudflare.plan",
    `POST "${api}/zones/${a}/addressing/regional_hostnames": 400 Bad Request ${body(1, "This zone is not entitled to use Regional Services")}`,
    "plan",
  ],
  [
    "cloudflare.quota",
    `POST "${api}/zones/${a}/dns_records": 400 Bad Request ${body(81045, "Record quota exceeded.")}`,
    "quota",
  ],
  ["cloudflare.rate", `GET "${api}/zones/${a}": 429 Too Many Requests`, "too many"],
  [
    "atlas.address",
    'error creating database user: https://cloud.mongodb.com/api/atlas/v2/groups/5f/databaseUsers POST: HTTP 403 Forbidden (Error code: "IP_ADDRESS_NOT_ON_ACCESS_LIST") Detail: IP address 203.0.113.9 is not allowed to access this resource. Reason: Forbidden. Params: [203.0.113.9]',
    "203.0.113.9",
  ],
  [
    "atlas.permission",
    "POST /api/atlas/v2/groups/5f/databaseUsers: 401 USER_UNAUTHORIZED: Current user is not authorized to perform this action.",
    "API key",
  ],
  [
    "atlas.key",
    'HTTP 401 Unauthorized (Error code: "UNAUTHORIZED") Detail: You are not authorized for this resource.',
    "does not accept",
  ],
  [
    "atlas.user-taken",
    'HTTP 409 Conflict (Error code: "USER_ALREADY_EXISTS") Detail: The specified user already exists.',
    "database user",
  ],
  ["atlas.cluster-taken", 'HTTP 400 Bad Request (Error code: "DUPLICATE_CLUSTER_NAME")', "cluster"],
  [
    "atlas.cluster-missing",
    'HTTP 404 Not Found (Error code: "CLUSTER_NOT_FOUND") Detail: No cluster named x exists',
    "no cluster",
  ],
  ["atlas.project", 'HTTP 404 Not Found (Error code: "GROUP_NOT_FOUND")', "no such project"],
  ["atlas.payment", 'HTTP 402 Payment Required (Error code: "NO_PAYMENT_INFORMATION_FOUND")', "pay"],
  ["ssh.host-key", "after 10 failed attempts: ssh: handshake failed: ssh: host key mismatch", "host key"],
  [
    "ssh.refused",
    "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
    "SSH key",
  ],
  ["ssh.agent", "the SSH agent at /tmp/a does not answer (ECONNREFUSED): start it, or unset SSH_AUTH_SOCK", "agent"],
  [
    "ssh.unreachable",
    "after 10 failed attempts: dial tcp 192.168.0.20:22: connect: no route to host",
    "192.168.0.20:22",
  ],
  ["ssh.unreachable", "after 3 failed attempts: connect ECONNREFUSED 192.168.0.20:22", "192.168.0.20:22"],
  [
    "ssh.host-key",
    "192.168.0.20:22 presented a host key that differs from the config: it may be another machine, or a man in the middle.",
    "host key",
  ],
  ["ssh.refused", "192.168.0.20:22 refused deploy with this key.", "SSH key"],
  [
    "mac.former",
    "another Mac answers at deploy@192.168.0.21, and the former one at deploy@192.168.0.20 cannot be reached to take it out of service (192.168.0.20:22 is not reachable (connect ECONNREFUSED 192.168.0.20:22).)",
    "deploy@192.168.0.20",
  ],
  [
    "mac.former",
    "the new Mac serves, but the former one at deploy@192.168.0.20 by way of gate.example.com could not be taken out of service and may still serve beside it",
    "deploy@192.168.0.20",
  ],
  [
    "mac.removal",
    "the Mac at deploy@192.168.0.20 cannot be reached, so nothing can be removed from it: 192.168.0.20:22 is not reachable (connect ECONNREFUSED 192.168.0.20:22).",
    "cannot be uninstalled",
  ],
  [
    "mac.read-only-key",
    "the key that signs in as slm-inspect on 192.168.0.20 runs a forced command there (authorized_keys), whatever is asked for",
    "can only read",
  ],
  [
    "provider.deleted-by-hand",
    `error: deleting urn:pulumi:prod::slm-network::cloudflare:index/dnsRecord:DnsRecord::slm-dns: 1 error occurred:\n\t* failed to make http request: DELETE "${api}/zones/${a}/dns_records/${a}": 404 Not Found ${body(81044, "Record does not exist.")}`,
    "pulumi refresh",
  ],
  [
    "provider.deleted-by-hand",
    'error deleting database user: https://cloud.mongodb.com/api/atlas/v2/groups/5f/databaseUsers/admin/relay DELETE: HTTP 404 Not Found (Error code: "USERNAME_NOT_FOUND") Detail: No user with username relay exists. Reason: Not Found. Params: [relay], BadRequestDetail: ',
    "pulumi destroy --refresh",
  ],
  ["provider.flex-busy", "unexpected state 'UPDATING', wanted target 'DELETED'. last error: %!s(<nil>)", "UPDATING"],
  [
    "provider.flex-lost",
    "timeout while waiting for state to become 'IDLE' (last state: 'CREATING', timeout: 3h0m0s)",
    "npm run recover",
  ],
  ["ssh.jump", "proxy: after 10 failed attempts: ssh: handshake failed: EOF", "hostKey"],
  ["mac.sudo", "deploy on 192.168.0.20 may not use `sudo -n` (sudo: a password): installing needs it.", "sudo -n"],
  ["mac.sudo", "Process exited with status 1: running\nsudo: a password is required", "sudo -n"],
  ["pulumi.passphrase", "incorrect passphrase", "passphrase"],
  [
    "pulumi.locked",
    "the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end",
    "another run",
  ],
  [
    "pulumi.pending",
    "Attempting to deploy or update resources with 1 pending operations from previous deployment.",
    "killed",
  ],
  ["pulumi.protected", 'Resource "urn:…" cannot be deleted because it is protected', "protected"],
  [
    "pulumi.plugin",
    "no resource plugin 'pulumi-resource-cloudflare' found in the workspace at version v6.22.1",
    "plugin",
  ],
  [
    "network",
    `Post "https://cloud.mongodb.com/api": dial tcp: lookup cloud.mongodb.com: no such host`,
    "did not answer",
  ],
];

test.each(said)("%s: %s", (id, text, shows) => {
  const found = explain([text]);
  expect(found.map((one) => one.id)).toEqual([id]);
  expect(`${found[0]?.says} ${found[0]?.todo}`).toContain(shows);
  expect(found[0]?.todo.length).toBeGreaterThan(20);
});

test("every known error has an example above", () => {
  const shown = new Set(said.map(([id]) => id));
  expect(knownErrors.map(({ id }) => id).filter((id) => !shown.has(id))).toEqual([
    "cloudflare.in-use",
    "provider.tunnel-deleted",
  ]);
  const deleted = `failed to make http request: DELETE "${api}/accounts/${a}/cfd_tunnel/0b2f5d5e-4a0c-4d1e-9d1f-3f0a5a1a2b3c": 404 Not Found`;
  expect(explain([deleted]).map(({ id }) => id)).toEqual(["provider.tunnel-deleted"]);
  expect(explain(["tunnel 1 has active connections"])).toMatchObject([{ id: "cloudflare.in-use" }]);
});

test("unknown errors are ignored", () => {
  expect(explain(["TypeError: x is not a function", "the stack's config has one problem"])).toEqual([]);
  expect(renderExplanations([])).toBe("");
});

test("a cause is explained once, however many resources it affects", () => {
  const refused = (path: string) => `POST /accounts/${a}/${path}: 403 Authentication error (10000)`;
  const found = explain([refused("access/policies"), refused("access/apps"), refused("cfd_tunnel")]);
  expect(found.map(({ says }) => says)).toEqual([
    expect.stringContaining("Access: Apps and Policies"),
    expect.stringContaining("Cloudflare Tunnel"),
  ]);
  expect(renderExplanations(found)).toMatch(/^What to do:\n {2}- .+\n {6}→ .+\n {2}- .+\n {6}→ /);
});

test.each([
  ["GET", `/zones/${a}`, "Zone · Zone · Read"],
  ["POST", `/accounts/${a}/load_balancers/pools`, "Account · Load Balancing: Monitors and Pools · Edit"],
  ["POST", `/zones/${a}/load_balancers`, "Zone · Load Balancers · Edit"],
  ["PATCH", `/zones/${a}/custom_hostnames/1`, "Zone · SSL and Certificates · Edit"],
  ["POST", `/accounts/${a}/r2/buckets`, undefined],
])("%s %s needs %s", (method, path, permission) => expect(permissionFor(method, path)).toBe(permission));

test("finds errors, not warnings, in the output of pulumi", () => {
  const printed = `Updating (prod):

 +  cloudflare:index:DnsRecord slm-dns creating (0s) error: POST /zones/${a}/dns_records: 400 record with that host already exists (81053)
Diagnostics:
  cloudflare:index:ZeroTrustTunnelCloudflaredConfig (slm-ingress):
    warning: 403 is what this warning is about: POST /accounts/${a}/cfd_tunnel: 403 x
  cloudflare:index:DnsRecord (slm-dns):
    error: POST /zones/${a}/dns_records: 400 An A, AAAA, or CNAME record
    with that host already exists. (81053)
  pulumi:pulumi:Stack (slm-network-prod):
    error: update failed
`;
  const errors = errorsIn(printed);
  expect(explain(errors).map(({ id }) => id)).toEqual(["cloudflare.record-taken"]);
});
