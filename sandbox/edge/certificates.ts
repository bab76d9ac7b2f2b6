/** The edge's own certificate authority: created once, kept in a folder and reused. */
import "reflect-metadata"; // @peculiar/x509 needs it to load
import { createPrivateKey, createPublicKey, type webcrypto, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

/** A certificate and its key, both PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** Issues server certificates under the authority in `caFile`. */
export interface Authority {
  /** Path of the authority's certificate (PEM). */
  caFile: string;
  /** The certificate of one DNS name; taken from the folder when it is valid for 30 more days, else a new one. */
  leaf(dnsName: string): Promise<KeyPair>;
}

const AUTHORITY_NAME = "slm-network sandbox authority";
const AUTHORITY_DAYS = 3650;
/** Apple's systems refuse server certificates valid for more than 398 days. */
const LEAF_DAYS = 397;
const RENEW_BEFORE_MS = 30 * 86_400_000;

/** Writes a file with mode 0600 atomically. */
export function writePrivate(path: string, content: string): void {
  const unfinished = `${path}.new`;
  writeFileSync(unfinished, content, { mode: 0o600 });
  renameSync(unfinished, path);
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const newKey = (): Promise<webcrypto.CryptoKeyPair> => crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);

async function privatePem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  return x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
}

/** Valid since yesterday, so that a slow clock does not refuse it. */
const validity = (days: number) => ({
  notBefore: new Date(Date.now() - 86_400_000),
  notAfter: new Date(Date.now() + days * 86_400_000),
});

/** Reads `<name>.pem` and `<name>.key`; undefined when one is missing, unreadable, or expires soon. */
function stored(dir: string, name: string): (KeyPair & { parsed: X509Certificate }) | undefined {
  const certPath = join(dir, `${name}.pem`);
  const keyPath = join(dir, `${name}.key`);
  if (!existsSync(certPath) || !existsSync(keyPath)) return undefined;
  const cert = readFileSync(certPath, "utf8");
  const key = readFileSync(keyPath, "utf8");
  try {
    const parsed = new X509Certificate(cert);
    const good =
      parsed.validToDate.getTime() - Date.now() > RENEW_BEFORE_MS && parsed.checkPrivateKey(createPrivateKey(key));
    return good ? { cert, key, parsed } : undefined;
  } catch {
    return undefined; // a damaged file is replaced
  }
}

function store(dir: string, name: string, pair: KeyPair): KeyPair {
  writePrivate(join(dir, `${name}.key`), pair.key);
  writePrivate(join(dir, `${name}.pem`), pair.cert);
  return pair;
}

async function newAuthority(): Promise<KeyPair> {
  const keys = await newKey();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${AUTHORITY_NAME}`,
    keys,
    signingAlgorithm: algorithm,
    ...validity(AUTHORITY_DAYS),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await privatePem(keys) };
}

async function newLeaf(dnsName: string, authority: KeyPair): Promise<KeyPair> {
  const keys = await newKey();
  const issuer = new x509.X509Certificate(authority.cert);
  const signingKey = await crypto.subtle.importKey(
    "pkcs8",
    x509.PemConverter.decodeFirst(authority.key),
    algorithm,
    false,
    ["sign"],
  );
  const cert = await x509.X509CertificateGenerator.create({
    subject: `CN=${dnsName}`,
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    ...validity(LEAF_DAYS),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: dnsName }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { cert: `${cert.toString("pem")}\n`, key: await privatePem(keys) };
}

/**
 * Opens the authority in `dir`, or creates it. A missing, damaged or nearly expired file is replaced.
 * @param dir made with mode 0700 when it is missing; keys in it are 0600
 */
export async function openAuthority(dir: string): Promise<Authority> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const authority = stored(dir, "ca") ?? store(dir, "ca", await newAuthority());
  const issuerPublicKey = createPublicKey(createPrivateKey(authority.key));
  const issuer = new X509Certificate(authority.cert);

  return {
    caFile: join(dir, "ca.pem"),
    async leaf(dnsName) {
      if (!/^[a-z0-9.-]+$/.test(dnsName))
        throw new Error(`"${dnsName}" is not a DNS name in lower case; no certificate can be made for it.`);
      const kept = stored(dir, dnsName);
      if (kept?.parsed.checkIssued(issuer) && kept.parsed.verify(issuerPublicKey) && kept.parsed.checkHost(dnsName))
        return { cert: kept.cert, key: kept.key };
      return store(dir, dnsName, await newLeaf(dnsName, authority));
    },
  };
}
