import { beforeAll, describe, expect, it } from "vitest";
import { type SshConfig, sshProblems } from "../../accounts/ssh-check.ts";
import { remoteConnection } from "../../components/mac/mac-host.ts";
import { ingressRules } from "../../components/tunnel.ts";
import { macsSchema } from "../../config/mac.ts";
import { parseLocalEndpoint } from "../../config/ssh-override.ts";
import { type Declared, only, recordResources, resolved, settled } from "./mocks.ts";

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

describe("the way to the Mac", () => {
  it("is led over a jump host, each with its own key", () => {
    const mac = { host: "10.0.0.2", port: 22, user: "deploy", hostKey };
    expect(remoteConnection(mac)).toEqual(mac);
    const jump = { host: "gate.example.com", port: 2022, user: "me", hostKey: `${hostKey} gate` };
    expect(remoteConnection({ ...mac, jump })).toEqual({ ...mac, proxy: jump });
  });

  it("is led by a variable to this machine only", () => {
    expect(parseLocalEndpoint("127.0.0.1:2222")).toEqual({ host: "127.0.0.1", port: 2222 });
    for (const text of ["10.0.0.1:22", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:22 x"]) {
      expect(() => parseLocalEndpoint(text)).toThrow(/SLM_NETWORK_SSH_AT is ".*": it must be 127.0.0.1/);
    }
  });

  it("is off through the tunnel unless somebody is named who may use it", () => {
    const mac = { host: "10.0.0.2", user: "deploy", hostKey };
    expect(macsSchema.parse([mac])[0]?.sshThroughTunnel).toBeUndefined();
    const through = (sshThroughTunnel: object) => macsSchema.safeParse([{ ...mac, sshThroughTunnel }]).error?.issues;
    expect(through({ hostname: "ssh.example.com", emails: ["ops@example.com"] })).toBeUndefined();
    expect(through({ hostname: "ssh.example.com" })?.[0]?.message).toMatch(/nobody could use it/);
    expect(through({ hostname: "https://x", emails: ["no"] })?.map(({ path }) => path.at(-1))).toEqual(["hostname", 0]);
  });
});

describe("an SSH entry is refused", () => {
  const config = (hostname: string, servers: string[] = []): SshConfig => ({
    hostname: "slm.example.com",
    route: { saasHostname: "slm.example.net" },
    access: {
      servers: [
        { name: "deploy", enabled: true },
        { name: "old", enabled: false },
      ],
    },
    macs: [{ sshThroughTunnel: { hostname, servers } }],
  });
  it.each([
    ["ssh.example.com", ["deploy"], []],
    ["slm.example.com", [], [/is already slm-network:hostname.*ssh.example.com/]],
    ["slm.example.net", [], [/not under the zone/, /is already slm-network:route\.saasHostname/]],
    ["ssh.office.example.com", [], [/^slm-network:macs\[0\].sshThroughTunnel.hostname: .*more than one label/]],
    ["ssh.example.com", ["nobody", "old"], [/"nobody" is not in access.servers/, /"old" is switched off/]],
  ] as const)("%s for %s: %s", (hostname, servers, problems) => {
    const found = sshProblems(config(hostname, [...servers]), "example.com");
    expect(found).toHaveLength(problems.length);
    problems.forEach((problem, index) => {
      expect(found[index]).toMatch(problem);
    });
  });

  it("is nothing without one", () => {
    expect(sshProblems({ ...config("x"), macs: [{}] }, "example.com")).toEqual([]);
  });
});

describe("an SSH entry", () => {
  let declared: Declared[];
  beforeAll(async () => {
    declared = await recordResources();
  });

  it("is an application of its own, for those who are named", async () => {
    const { SshEntry } = await import("../../components/ssh-entry.ts");
    const args = {
      accountId: "a",
      hostname: "ssh.example.com",
      emails: ["ops@example.com"],
      identityProviders: ["pin-id"],
      tokenIds: ["id-1"],
      protect: true,
    };
    const { value } = await resolved(new SshEntry("slm-studio", args).audience);
    await settled();
    expect(value).toBe("aud-of-slm-studio-app-ssh");
    const application = only(declared, "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication");
    expect(application.inputs).toMatchObject({
      type: "self_hosted",
      destinations: [{ type: "public", uri: "ssh.example.com" }],
      policies: [
        { id: "id-of-slm-studio-policy-ssh-people", precedence: 1 },
        { id: "id-of-slm-studio-policy-ssh-servers", precedence: 2 },
      ],
      sessionDuration: "1h",
      allowedIdps: ["pin-id"],
    });
    const policies = declared.filter(({ type }) => type.endsWith(":ZeroTrustAccessPolicy"));
    expect(policies.map(({ inputs }) => [inputs.decision, inputs.includes])).toEqual([
      ["allow", [{ email: { email: "ops@example.com" } }]],
      ["non_identity", [{ serviceToken: { tokenId: "id-1" } }]],
    ]);
  });

  it("has an ingress rule with that audience, after the others and before the last; none without it", () => {
    const args = {
      hostname: "slm.example.com",
      relayPort: 8790,
      teamName: "acme",
      audiences: { servers: "s", people: "p" },
    };
    const without = ingressRules(args);
    const rules = ingressRules({ ...args, ssh: { hostname: "ssh.example.com", port: 22, audience: "ssh-aud" } });
    expect(rules).toEqual([
      ...without.slice(0, -1),
      {
        hostname: "ssh.example.com",
        service: "ssh://127.0.0.1:22",
        originRequest: { access: { required: true, teamName: "acme", audTags: ["ssh-aud"] } },
      },
      without.at(-1),
    ]);
  });
});
