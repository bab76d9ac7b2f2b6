/**
 * The remote configuration of a tunnel. Unlike elsewhere, its names are camelCase on the wire.
 * @see https://developers.cloudflare.com/cloudflare-one/networks/connectors/cloudflare-tunnel/configure-tunnels/
 */
import { z } from "zod";
import { optional, withoutUndefined } from "./route.ts";

const seconds = z.int().min(0);

const originRequestSchema = z
  .strictObject({
    access: optional(
      z
        .strictObject({
          audTag: z.array(z.string().min(1)),
          teamName: z.string().min(1),
          required: optional(z.boolean()),
        })
        .transform(withoutUndefined),
    ),
    caPool: optional(z.string()),
    connectTimeout: optional(seconds),
    disableChunkedEncoding: optional(z.boolean()),
    http2Origin: optional(z.boolean()),
    httpHostHeader: optional(z.string()),
    keepAliveConnections: optional(z.int().min(0)),
    keepAliveTimeout: optional(seconds),
    matchSNItoHost: optional(z.boolean()),
    noHappyEyeballs: optional(z.boolean()),
    noTLSVerify: optional(z.boolean()),
    originServerName: optional(z.string()),
    proxyType: optional(z.enum(["", "socks"])),
    tcpKeepAlive: optional(seconds),
    tlsTimeout: optional(seconds),
  })
  .transform(withoutUndefined);

const service = z
  .string()
  .regex(
    /^(https?|tcp|ssh|rdp|smb|unix|unix\+tls):\/?\/?.+$|^http_status:[1-5]\d\d$|^(hello_world|bastion|socks-proxy)$/,
    "expected a URL such as http://127.0.0.1:8080, or http_status:404",
  );

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

const ruleSchema = z
  .strictObject({
    hostname: optional(z.string()),
    path: optional(z.string().refine(isPattern, "expected a regular expression")),
    service,
    originRequest: optional(originRequestSchema),
  })
  .transform(withoutUndefined);

/** Body of PUT `…/configurations`. cloudflared and the API refuse rules without a final catch-all. */
export const tunnelConfigurationSchema = z.strictObject({
  config: z
    .strictObject({
      ingress: z
        .array(ruleSchema)
        .min(1)
        .superRefine((rules, context) => {
          for (const [index, rule] of rules.entries()) {
            const catchesAll = !rule.hostname && !rule.path;
            if (index === rules.length - 1 && !catchesAll) {
              context.addIssue({
                code: "custom",
                path: [index],
                message:
                  "The last ingress rule must match all URLs (i.e. it should not have a hostname or path filter)",
              });
            }
            if (index < rules.length - 1 && catchesAll) {
              context.addIssue({
                code: "custom",
                path: [index],
                message: `Rule #${index + 1} is matching all URLs, so the rules after it would never be triggered`,
              });
            }
          }
        }),
      originRequest: optional(originRequestSchema),
      "warp-routing": optional(z.strictObject({ enabled: z.boolean() })),
    })
    .transform(withoutUndefined),
});
