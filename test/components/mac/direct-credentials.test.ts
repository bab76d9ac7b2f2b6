import { describe, expect, it } from "vitest";
import { credentialOf, directLines, overlapsOf } from "../../../components/direct-route.ts";
import {
  addedWithinOverlap,
  type StoredCredentials,
  withOverlaps,
} from "../../../components/mac/direct-credentials.ts";
import { credentialHash } from "../../../runtime/direct-config.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";

const now = Date.parse("2026-12-01T00:00:00Z");
const later = "2026-12-02T00:00:00Z";
const input = (sha256: string, clientId = "0.access", expiresAt?: string): InstallInput =>
  ({
    relay: {
      callers: [{ name: "backend", clientId }],
      directCredentials: { backend: [{ sha256, ...(expiresAt && { expiresAt }) }] },
    },
  }) as unknown as InstallInput;
const rotate = (sha256: string, until: string | undefined, before: StoredCredentials, clientId?: string) => {
  const { input: told, stored } = withOverlaps(input(sha256, clientId), until ? { backend: until } : {}, before, now);
  return { credentials: told.relay.directCredentials?.backend, stored };
};

describe("a rotation", () => {
  it("keeps the former secret until its end, over later updates, and not longer", () => {
    const first = rotate("a", undefined, {});
    expect(first.credentials).toEqual([{ sha256: "a" }]);
    const second = rotate("b", later, first.stored);
    expect(second.credentials).toEqual([{ sha256: "b" }, { sha256: "a", expiresAt: later }]);
    const again = rotate("b", later, second.stored);
    expect(again.credentials).toEqual(second.credentials);
    const third = rotate("c", later, again.stored); // Cloudflare keeps one former secret only
    expect(third.credentials).toEqual([{ sha256: "c" }, { sha256: "b", expiresAt: later }]);
    const over = rotate("b", "2026-11-30T00:00:00Z", second.stored);
    expect(over).toEqual({
      credentials: [{ sha256: "b" }],
      stored: { backend: { clientId: "0.access", sha256: "b" } },
    });
  });

  it("keeps nothing of a token that was replaced, and ends with the token's own life", () => {
    const first = rotate("a", undefined, {});
    expect(rotate("b", later, first.stored, "1.access").credentials).toEqual([{ sha256: "b" }]);
    const ends = "2026-12-01T12:00:00.000Z";
    const { input: told } = withOverlaps(input("b", "0.access", ends), { backend: later }, first.stored, now);
    expect(told.relay.directCredentials?.backend?.[1]).toEqual({ sha256: "a", expiresAt: ends });
  });

  it("within which a line is added is said, since the former secret is not known there", () => {
    expect(addedWithinOverlap(input("b"), { backend: later }, {}, now).join()).toMatch(
      /add the direct line of backend, which accepts the newest secret only: the former one, valid .* until 2026-12-02/,
    );
    const known = { backend: { clientId: "0.access", sha256: "a" } };
    expect(addedWithinOverlap(input("b"), { backend: later }, known, now)).toEqual([]);
    expect(addedWithinOverlap(input("b"), {}, {}, now)).toEqual([]);
  });
});

describe("a line's inputs", () => {
  it("have a token's hash and end, and refuse an imported token", () => {
    expect(credentialOf("backend", "id", "secret", later)).toEqual({
      sha256: credentialHash("id", "secret"),
      expiresAt: "2026-12-02T00:00:00.000Z",
    });
    for (const end of [undefined, "", "0001-01-01T00:00:00Z"]) {
      expect(credentialOf("backend", "id", "secret", end)).not.toHaveProperty("expiresAt");
    }
    expect(() => credentialOf("backend", "id", "", later)).toThrow(/token was imported.*npm run rotate -- backend/);
  });

  it("give each line a port of its own, and its server's overlap only", () => {
    const line = {
      server: "backend",
      host: "h",
      port: 22,
      user: "slm-direct",
      hostKey: "ssh-ed25519 AAAA x",
      listen: "127.0.0.1:18400",
    };
    const two = directLines([line, { ...line, server: "batch" }], 8793);
    expect(two.map(({ relayPort, hostKey }) => [relayPort, hostKey])).toEqual([
      [8793, "ssh-ed25519 AAAA"],
      [8794, "ssh-ed25519 AAAA"],
    ]);
    const servers = [
      { name: "backend", previousSecretExpiresAt: later },
      { name: "other", previousSecretExpiresAt: later },
    ];
    expect(overlapsOf([line], servers)).toEqual({ backend: later });
  });
});
