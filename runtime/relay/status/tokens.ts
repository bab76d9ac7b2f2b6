/** What the page says of service tokens. Pure. */
import type { RelayConfig } from "../../config.ts";
import { parseGoDuration } from "../dialects/keep-alive-check.ts";
import type { TokenPart } from "./page-data.ts";

/** A `relay.json` of a release that did not write `tokens` leaves everything but the name unknown. */
export function tokenParts({ callers, tokens = {} }: Pick<RelayConfig, "callers" | "tokens">): TokenPart[] {
  const known = new Map(Object.entries(tokens));
  return callers.map(({ name, enabled }) => {
    const info = known.get(name);
    const end = info?.expiresAt === undefined ? undefined : Date.parse(info.expiresAt);
    const lifeSeconds = info?.duration === undefined ? undefined : parseGoDuration(info.duration);
    return {
      name,
      enabled,
      expiresAt: end ?? (info === undefined || info.duration !== undefined ? null : "never"),
      issuedAt: end === undefined || lifeSeconds === undefined ? null : end - lifeSeconds * 1000,
    };
  });
}
