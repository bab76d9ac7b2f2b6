import { describe, expect, it } from "vitest";
import { ConfigError, parseStackConfig } from "../../config/config.ts";
import { hostKeyProblem, parseListen } from "../../config/direct-route.ts";
import { newKey } from "../../sandbox/mac/keys.ts";

const hostKey = newKey("host").public;
const line = { server: "backend", host: "backend.example.com", hostKey };
const config = (direct: unknown, more: Record<string, unknown> = {}) => ({
  hostname: "slm.example.com",
  zoneId: "0".repeat(32),
  accountId: "a".repeat(32),
  access: { servers: [{ name: "backend" }, { name: "batch" }] },
  macs: [{ host: "192.168.0.20", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
  model: { embeddingModel: "bge-m3" },
  tunnelSecret: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=",
  route: { direct },
  ...more,
});

function problems(raw: Record<string, unknown>): string {
  try {
    parseStackConfig(raw);
    return "";
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

describe("route.direct", () => {
  it("has defaults, stands beside any mode, and is empty by default", () => {
    expect(parseStackConfig(config([line])).route).toMatchObject({
      mode: "proxied",
      direct: [{ ...line, port: 22, user: "slm-direct", listen: "127.0.0.1:18400" }],
    });
    expect(parseStackConfig({ ...config([]), route: {} }).route.direct).toEqual([]);
    expect(parseStackConfig(config([])).macs[0]?.ports.direct).toBe(8793);
  });

  it("reports all problems at once, also while other sections have problems", () => {
    const bad = [
      { server: "Back end", host: "-oProxyCommand=x", port: 0, user: "root", hostKey: "nonsense", listen: "8400" },
      { ...line, server: "batch", listen: "0.0.0.0:18400" },
      { server: "nobody", host: "b", hostKey: hostKey.slice(0, 40), listen: "127.0.0.1:22" },
    ];
    const text = problems(config(bad, { hostname: "x" }));
    for (const part of [
      /hostname: "x"/,
      /route\.direct\[0\]\.server: "Back end" is not a name in access\.servers/,
      /route\.direct\[0\]\.host: .* is not a DNS name or IP address/,
      /route\.direct\[0\]\.port: 0 is not a port/,
      /route\.direct\[0\]\.user: "root" must not be root/,
      /route\.direct\[0\]\.hostKey: "nonsense" is not a public host key: run/,
      /route\.direct\[0\]\.listen: "8400" is not an IPv4 address with a port/,
      /route\.direct\[1\]\.listen: "0\.0\.0\.0:18400" would be open to other machines/,
      /route\.direct\[2\]\.hostKey: .* is cut off or damaged/,
      /route\.direct\[2\]\.listen: "127\.0\.0\.1:22" has a port below 1024/,
      /\[2\]\.server: nobody is not in access\.servers, which has backend, batch/,
    ]) {
      expect(text).toMatch(part);
    }
  });

  it("refuses two lines of one server, and one port for two on one host", () => {
    const text = problems(config([line, line, { ...line, server: "batch", host: "BACKEND.example.com" }]));
    expect(text).toMatch(/\[1\]\.server: backend has a line already \(\[0\]\)/);
    expect(text).toMatch(/\[2\]\.listen: 127\.0\.0\.1:18400 on BACKEND\.example\.com is taken by \[0\]/);
    const other = { ...line, server: "batch", host: "other.example.com" };
    expect(problems(config([line, other]))).toBe("");
    expect(problems(config([line, { ...other, host: line.host, listen: "127.0.0.1:18401" }]))).toBe("");
  });

  it("refuses ports on the Mac that other listeners have", () => {
    const macs = (ports: Record<string, number>) => ({
      macs: [{ host: "192.168.0.20", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz", ports }],
    });
    const two = [line, { ...line, server: "batch", host: "other.example.com" }];
    expect(problems(config(two, macs({ direct: 8789 })))).toMatch(
      /\[1\] gets port 8790 on the Mac, which is macs\[\]\.ports\.relay: set macs\[\]\.ports\.direct/,
    );
    expect(problems(config(two, macs({ direct: 65535 })))).toMatch(/\[1\] would get port 65536/);
    expect(problems(config(two, macs({ direct: 9000 })))).toBe("");
  });

  it("takes a container bridge's address, and explains mode: direct", () => {
    expect(problems(config([{ ...line, listen: "172.17.0.1:18400" }]))).toBe("");
    expect(problems({ ...config([]), route: { mode: "direct" } })).toMatch(/direct lines stand beside any mode/);
  });

  it("reads host keys and addresses", () => {
    expect(hostKeyProblem(hostKey)).toBeUndefined();
    expect(hostKeyProblem("ssh-rsa AAAAB3")).toMatch(/is an RSA key/);
    expect(hostKeyProblem(hostKey.replace("ssh-ed25519 ", "ecdsa-sha2-nistp256 "))).toMatch(/cut off or damaged/);
    expect(parseListen("127.0.0.1:18400")).toEqual({ address: "127.0.0.1", port: 18_400 });
    for (const text of ["localhost:1", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000", "[::1]:18400"]) {
      expect(parseListen(text)).toBeUndefined();
    }
  });
});
