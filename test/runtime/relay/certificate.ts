/** A self-signed certificate for one name, valid for an hour. DER by hand: @peculiar/x509 needs a polyfill that is not here. */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";

function tlv(tag: number, ...parts: (Buffer | string | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
}

const sequence = (...parts: Buffer[]) => tlv(0x30, ...parts);
const oid = (hex: string) => tlv(0x06, Buffer.from(hex, "hex"));
const time = (ms: number) => tlv(0x18, new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, ""));
const extension = (id: string, value: Buffer) => sequence(oid(id), tlv(0x04, value));

/** PEM texts of the certificate (its own authority) and of its key. Layout: RFC 5280, section 4.1. */
export function selfSigned(dnsName: string): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40; // a positive number without leading zeros
  const ecdsaWithSha256 = sequence(oid("2a8648ce3d040302"));
  const name = sequence(tlv(0x31, sequence(oid("550403"), tlv(0x0c, "test")))); // commonName
  const body = sequence(
    tlv(0xa0, tlv(0x02, [2])), // version 3
    tlv(0x02, serial),
    ecdsaWithSha256,
    name,
    sequence(time(Date.now() - 60_000), time(Date.now() + 3600_000)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    tlv(
      0xa3,
      sequence(
        extension("551d13", sequence(tlv(0x01, [0xff]))), // basicConstraints: an authority
        extension("551d11", sequence(tlv(0x82, dnsName))), // subjectAltName
      ),
    ),
  );
  const der = sequence(body, ecdsaWithSha256, tlv(0x03, [0], sign("sha256", body, privateKey)));
  const lines = der.toString("base64").replace(/.{64}/g, "$&\n");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}
