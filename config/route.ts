/** The route's part of the stack's config: which modes there are, and what each refuses. */
import { z } from "zod";
import { directRoutesSchema } from "./direct-route.ts";
import { isHostname } from "./host-name.ts";
import { evenIfInvalid, withMessage } from "./rule-helpers.ts";

/**
 * @returns why a mode is not available and what to use instead.
 * A tunnel's name resolves to an unroutable address, and the tunnel answers proxied records of its own account only:
 * https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/routing-to-tunnel/dns/
 */
function modeProblem(mode: unknown): string {
  if (mode === "direct") {
    return "is not a mode: direct lines stand beside any mode. List them in route.direct (docs/direct.md), and use `proxied`";
  }
  if (typeof mode === "string" && /^(dns[-_ ]?only|grey|gray|unproxied)$/i.test(mode)) {
    return (
      "a DNS-only record to a tunnel cannot work: <tunnel id>.cfargotunnel.com resolves to an unroutable address " +
      "(fd10:aec2:5dae::), and a tunnel answers only proxied records of its own account. Use `proxied` and measure where " +
      "callers enter (`npm run probe`). When that is too far: `saas` (a name of another domain, DNS-only there, that follows " +
      "a zone with better routing), `regional` (an Enterprise add-on), or a private route over WARP (docs/routes.md)"
    );
  }
  if (typeof mode === "string" && /^(warp|private)$/i.test(mode)) {
    return (
      "a private route needs the caller's machine changed, which no Pulumi program here can do: docs/routes.md has the " +
      "steps, and they stand beside any mode. Use `proxied`"
    );
  }
  return "is not a route mode: use proxied (follows the caller's provider and the zone's plan), regional (an Enterprise add-on) or saas (a name of another domain)";
}

/** `route` of the stack's config. What needs the account to be asked is in `route-check.ts`. */
export const routeSchema = z
  .object({
    mode: z.enum(["proxied", "regional", "saas"], { error: ({ input }) => modeProblem(input) }).default("proxied"),
    expectColo: z
      .array(
        z
          .string()
          .regex(/^[A-Z]{3}$/, withMessage("is not a Cloudflare location: three capital letters, e.g. ICN for Seoul")),
      )
      .default(["ICN"]),
    regionKey: z
      .string(withMessage("must be text: a key of the account's region list"))
      .min(1, withMessage("is empty: a key of the account's region list"))
      .optional(),
    saasHostname: z
      .string(withMessage("must be text: a name of a domain outside this account, e.g. slm.example.net"))
      .refine(
        isHostname,
        withMessage(
          "is not a host name: lower-case letters, digits and -, without https:// and path, e.g. slm.example.net",
        ),
      )
      .optional(),
    /** Servers that the Mac connects to by SSH; beside any mode. */
    direct: directRoutesSchema,
  })
  .strict()
  .refine((route) => route.mode !== "regional" || route.regionKey !== undefined, {
    path: ["regionKey"],
    // The key is read, never guessed: with any text here the account's own list is shown.
    error:
      "is missing while mode is regional: set a key of the account's region list. With any text, e.g. regionKey: list, the keys that it has are shown",
    when: evenIfInvalid,
  })
  .refine((route) => route.mode === "regional" || route.regionKey === undefined, {
    path: ["regionKey"],
    error: "has no effect unless mode is regional: remove it, or set mode: regional",
    when: evenIfInvalid,
  })
  .refine((route) => route.mode !== "saas" || route.saasHostname !== undefined, {
    path: ["saasHostname"],
    error:
      "is missing while mode is saas: the name for callers, in a domain that is not in this Cloudflare account, e.g. slm.example.net",
    when: evenIfInvalid,
  })
  .refine((route) => route.mode === "saas" || route.saasHostname === undefined, {
    path: ["saasHostname"],
    error: "has no effect unless mode is saas: remove it, or set mode: saas",
    when: evenIfInvalid,
  });

/** A valid route. */
export type RouteConfig = z.infer<typeof routeSchema>;
