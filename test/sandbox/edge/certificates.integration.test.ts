import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openAuthority } from "../../../sandbox/edge/certificates.ts";
import { openAccessKeys } from "../../../sandbox/edge/keys.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "slm-authority-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a TLS client that trusts the authority accepts its leaf for that name, and for no other", async () => {
  const authority = await openAuthority(dir);
  const server = createServer(await authority.leaf("a.example.com"), (socket) => socket.end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ca = readFileSync(authority.caFile, "utf8");
  const trusted = connect({ port, host: "127.0.0.1", ca, servername: "a.example.com" });
  await once(trusted, "secureConnect");
  expect(trusted.authorized).toBe(true);
  trusted.destroy();
  const other = connect({ port, host: "127.0.0.1", ca, servername: "b.example.com" });
  const [error] = (await once(other, "error")) as [Error];
  expect(error.message).toContain("does not match");
  server.close();
});

test("authority and leaf are valid X.509: P-256, CA true and false, valid for a year", async () => {
  const authority = await openAuthority(dir);
  const ca = new X509Certificate(readFileSync(authority.caFile));
  const leaf = new X509Certificate((await authority.leaf("a.example.com")).cert);
  expect([ca.ca, leaf.ca, leaf.checkIssued(ca), leaf.verify(ca.publicKey)]).toEqual([true, false, true, true]);
  expect(leaf.publicKey.asymmetricKeyDetails).toMatchObject({ namedCurve: "prime256v1" });
  const days = (leaf.validToDate.getTime() - leaf.validFromDate.getTime()) / 86_400_000;
  expect(days).toBe(398);
});

test("stored certificates are reused; a damaged authority is replaced with its leaves", async () => {
  const first = await (await openAuthority(dir)).leaf("a.example.com");
  expect(await (await openAuthority(dir)).leaf("a.example.com")).toEqual(first);
  writeFileSync(join(dir, "ca.pem"), "damaged");
  const authority = await openAuthority(dir);
  const second = await authority.leaf("a.example.com");
  expect(second.cert).not.toBe(first.cert);
  const ca = new X509Certificate(readFileSync(authority.caFile));
  expect(new X509Certificate(second.cert).verify(ca.publicKey)).toBe(true);
  expect(new X509Certificate(second.cert).checkPrivateKey(createPrivateKey(second.key))).toBe(true);
});

test("a name that is no DNS name is refused, and so is a damaged key file", async () => {
  await expect((await openAuthority(dir)).leaf("../x y")).rejects.toThrow('"../x y" is not a DNS name');
  writeFileSync(join(dir, "access-keys.json"), "{}");
  await expect(openAccessKeys(dir)).rejects.toThrow("delete it and start again");
});
