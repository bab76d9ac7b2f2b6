/** The part of the stack's config that says how the Mac is reached and what it downloads: `macs` and `artifacts`. */
import { z } from "zod";
import { always, because, resourceName } from "./config-words.ts";

/** @param host as the command that asks for the key names it */
const hostKeySchema = (host: string) =>
  z
    .string(
      because(
        `is missing: without it anybody could pose as the Mac. Run \`ssh-keyscan -t ed25519 ${host}\` and copy \`ssh-ed25519 AAAA…\``,
      ),
    )
    .regex(
      /^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$/,
      because(
        `is no public host key: run \`ssh-keyscan -t ed25519 ${host}\` and copy the part from \`ssh-ed25519\` on`,
      ),
    );

/** A host in between, for who can not reach the Mac itself; it only passes the connection on. */
const jumpSchema = z
  .object({
    host: z
      .string(because("is missing: the jump host's address or name"))
      .min(1, because("is empty: the jump host's address or name")),
    port: z.int().min(1).max(65535, because("is no port (1 to 65535)")).default(22),
    user: z
      .string(because("is missing: an account on the jump host; it needs no sudo there"))
      .min(1, because("is empty: an account on the jump host; it needs no sudo there")),
    hostKey: hostKeySchema("<jump host>"),
  })
  .strict();

const macSchema = z
  .object({
    name: z
      .string()
      .regex(resourceName, because("is no name for a Mac: lower-case letters, digits and -, e.g. studio"))
      .default("studio"),
    host: z
      .string(because("is missing: the Mac's address or name in the office's network"))
      .min(1, because("is empty: the Mac's address or name in the office's network")),
    port: z.int().min(1).max(65535, because("is no port (1 to 65535)")).default(22),
    user: z
      .string(because("is missing: the account on the Mac that may use `sudo -n`, e.g. deploy"))
      .min(1, because("is empty: the account on the Mac that may use `sudo -n`, e.g. deploy")),
    hostKey: hostKeySchema("<host>"),
    jump: jumpSchema.optional(),
    ports: z
      .object({
        relay: z.int().min(1024).max(65535).default(8790),
        admin: z.int().min(1024).max(65535).default(8791),
        connector: z.int().min(1024).max(65535).default(8792),
      })
      .strict()
      .prefault({}),
  })
  .strict();

/** `macs` of the stack's config. */
export const macsSchema = z
  .array(
    macSchema,
    because(
      "is missing: say how the Mac is reached, e.g. [{ host: 192.168.0.20, user: deploy, hostKey: ssh-ed25519 AAAA… }]",
    ),
  )
  .min(1, because("is empty: one Mac is needed"))
  .refine((macs) => macs.length <= 1, {
    error: "two or more Macs: this version runs one, since a job's queue lives on the Mac that took it. Keep one entry",
    when: always,
  });

const artifactSchema = z
  .object({
    url: z.url({ protocol: /^https?$/, error: "is no http(s) address" }),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, because("is no sha256 (64 lower-case hex digits)")),
  })
  .strict();

/** What the Mac downloads. Defaults are the vendors' own builds for Apple silicon, with the hashes they publish. */
export const artifactsSchema = z
  .object({
    node: artifactSchema.default({
      // https://nodejs.org/dist/v24.18.0/SHASUMS256.txt
      url: "https://nodejs.org/dist/v24.18.0/node-v24.18.0-darwin-arm64.tar.gz",
      sha256: "e1a97e14c99c803e96c7339403282ea05a499c32f8d83defe9ef5ec66f979ed1",
    }),
    cloudflared: artifactSchema.default({
      // https://github.com/cloudflare/cloudflared/releases/tag/2026.7.2
      url: "https://github.com/cloudflare/cloudflared/releases/download/2026.7.2/cloudflared-darwin-arm64.tgz",
      sha256: "2086e51c61d6565781d84117a5007d0c826d03ffdc74acb91c08c167f9f8cd7c",
    }),
  })
  .strict();
