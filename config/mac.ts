/** The part of the stack's config that says how the Mac is reached and what it downloads: `macs` and `artifacts`. */
import { z } from "zod";
import { powerSchema } from "../runtime/install-input-schema.ts";
import { isHostname } from "./host-name.ts";
import {
  evenIfEntriesInvalid,
  evenIfInvalid,
  hostName,
  lengthOf,
  loginName,
  resourceName,
  withMessage,
} from "./rule-helpers.ts";

/** @param host as the command that asks for the key names it */
const hostKeySchema = (host: string) =>
  z
    .string(
      withMessage(
        `is missing: without it anyone could pose as the Mac. Run \`ssh-keyscan -t ed25519 ${host}\` and copy \`ssh-ed25519 AAAA…\``,
      ),
    )
    .refine(
      (line) => !/^ssh-rsa\s/.test(line),
      withMessage(
        `is an RSA key, which \`pulumi up\` cannot check: its SSH client knows RSA with SHA-1 only, and sshd refuses that. Run \`ssh-keyscan -t ed25519 ${host}\` and copy \`ssh-ed25519 AAAA…\` instead; compare it with \`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\` on the Mac`,
      ),
    )
    .regex(
      /^(ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?$/,
      withMessage(
        `is not a public host key: run \`ssh-keyscan -t ed25519 ${host}\` and copy the part from \`ssh-ed25519\` on`,
      ),
    );

/** A jump host: it only forwards the connection. */
const jumpSchema = z
  .object({
    host: z
      .string(withMessage("is missing: the jump host's address or name"))
      .min(1, withMessage("is empty: the jump host's address or name"))
      .regex(hostName, withMessage("is not a DNS name or IP address, e.g. jump.example.com")),
    port: z.int().min(1).max(65535, withMessage("is not a port (1 to 65535)")).default(22),
    user: z
      .string(withMessage("is missing: an account on the jump host; it needs no sudo there"))
      .min(1, withMessage("is empty: an account on the jump host; it needs no sudo there"))
      .regex(loginName, withMessage("is not an account name: letters, digits, and . _ @ -, not beginning with -")),
    hostKey: hostKeySchema("<jump host>"),
  })
  .strict();

/** SSH through the tunnel; only the people and servers named here reach the Mac's sshd. */
const sshThroughTunnelSchema = z
  .object({
    hostname: z
      .string(withMessage("is missing: a name of its own for SSH, one label under the zone, e.g. ssh.example.com"))
      .refine(
        isHostname,
        withMessage(
          "is not a host name: lower-case letters, digits and -, one label under the zone, e.g. ssh.example.com",
        ),
      ),
    /** Port of sshd on the Mac itself. */
    port: z.int().min(1).max(65535, withMessage("is not a port (1 to 65535)")).default(22),
    emails: z
      .array(z.email(withMessage("is not an e-mail address: name the people who can reach the Mac's SSH from outside")))
      .default([]),
    servers: z.array(z.string().regex(resourceName, withMessage("is not a name in access.servers"))).default([]),
  })
  .strict()
  .refine(({ emails, servers }) => lengthOf(emails) + lengthOf(servers) > 0, {
    path: ["emails"],
    error:
      "is empty, and so is servers: nobody could use it. Name people by e-mail, or servers of access.servers whose token may reach the Mac's SSH; or remove sshThroughTunnel",
    when: evenIfInvalid,
  });

const upsWarning =
  "after a UPS has had the Mac shut down, the Mac can stay off when the power is back, whatever `autorestart` says: somebody must press its button";

/** `macs[].power`: the installer sets it, reads it back and reports it. */
const macPowerSchema = z
  .object({
    set: z.boolean(withMessage("must be true, or false to leave the Mac's power settings alone")).default(true),
    ups: powerSchema.shape.ups
      .unwrap()
      .extend({
        // An explicit opt-in, since the effect is unexpected.
        mayStayOff: z.literal(
          true,
          withMessage(
            `must be true: ${upsWarning}. Say \`mayStayOff: true\` if that is wanted; or take \`ups\` out: then the Mac runs until the UPS is empty, starts by itself, and no acknowledged job is lost`,
          ),
        ),
      })
      .refine(
        (ups) => [ups.haltLevel, ups.haltAfter, ups.haltRemain].some((value) => value !== undefined),
        withMessage("has no threshold: give haltLevel (percent), haltAfter or haltRemain (minutes), or remove `ups`"),
      )
      .optional(),
  })
  .strict();

const macSchema = z
  .object({
    name: z
      .string()
      .regex(resourceName, withMessage("is not a valid name for a Mac: lower-case letters, digits and -, e.g. studio"))
      .default("studio"),
    host: z
      .string(withMessage("is missing: the Mac's address or name in the office's network"))
      .min(1, withMessage("is empty: the Mac's address or name in the office's network"))
      .regex(hostName, withMessage("is not a DNS name or IP address, e.g. 192.168.0.20")),
    port: z.int().min(1).max(65535, withMessage("is not a port (1 to 65535)")).default(22),
    user: z
      .string(withMessage("is missing: the account on the Mac that may use `sudo -n`, e.g. deploy"))
      .min(1, withMessage("is empty: the account on the Mac that may use `sudo -n`, e.g. deploy"))
      .regex(loginName, withMessage("is not an account name: letters, digits, and . _ @ -, not beginning with -")),
    hostKey: hostKeySchema("<host>"),
    jump: jumpSchema.optional(),
    sshThroughTunnel: sshThroughTunnelSchema.optional(),
    ports: z
      .object({
        relay: z.int().min(1024).max(65535).default(8790),
        admin: z.int().min(1024).max(65535).default(8791),
        connector: z.int().min(1024).max(65535).default(8792),
        /** First of the relay's ports for direct lines, one per entry of route.direct. */
        direct: z.int().min(1024).max(65535).default(8793),
      })
      .strict()
      .prefault({}),
    /** The IP version of cloudflared's connections: 6 in an office without IPv4. @default cloudflared's own, 4 */
    edgeIpVersion: z
      .union(
        [z.literal("auto"), z.literal(4), z.literal(6)],
        withMessage("must be auto, 4 or 6 (an office with IPv6 only)"),
      )
      .optional(),
    power: macPowerSchema.prefault({}),
    /** The Mac that this entry described before cannot be reached any more; a move to another Mac then does not wait for it. */
    previous: z
      .literal(
        "gone",
        withMessage("must be gone (the former Mac cannot be reached any more and is forgotten), or be left out"),
      )
      .optional(),
    /** `pulumi destroy` removes the relay's data too: jobs, their answers, documents kept on the Mac. */
    removeData: z.boolean(withMessage("must be true or false")).default(false),
    /** `pulumi destroy` leaves the Mac alone: for one that is gone for good. */
    skipRemoval: z.boolean(withMessage("must be true or false")).default(false),
  })
  .strict();

/** `macs` of the stack's config. */
export const macsSchema = z
  .array(
    macSchema,
    withMessage(
      "is missing: say how the Mac is reached, e.g. [{ host: 192.168.0.20, user: deploy, hostKey: ssh-ed25519 AAAA… }]",
    ),
  )
  .min(1, withMessage("is empty: one Mac is needed"))
  .refine((macs) => lengthOf(macs) <= 1, {
    error: "two or more Macs: this version runs one, since a job's queue lives on the Mac that took it. Keep one entry",
    when: evenIfEntriesInvalid,
  });

const artifactSchema = z
  .object({
    url: z.url({ protocol: /^https?$/, error: "is not an http(s) URL" }),
    sha256: z.string().regex(/^[0-9a-f]{64}$/, withMessage("is not a SHA-256 (64 lower-case hex digits)")),
  })
  .strict();

/** What the Mac downloads, or gets uploaded (`push`) when it has no internet access. Defaults are the vendors' own builds for Apple silicon, with the hashes they publish. */
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
    push: z.boolean(withMessage("must be true, or false to have the Mac download for itself")).default(false),
  })
  .strict();
