/**
 * The DNS of external domains: a file written by a person or a test, which the emulator reads to validate custom
 * hostnames. It is read again periodically.
 * @see https://developers.cloudflare.com/cloudflare-for-platforms/cloudflare-for-saas/domain-support/hostname-validation/
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { inZone } from "./zone-name.ts";

const recordsSchema = z.array(z.object({ type: z.string(), name: z.string(), content: z.string() }));
/** A record of an external domain. */
export type OutsideRecord = z.infer<typeof recordsSchema>[number];

/** @returns the records in the file; empty without a file. @throws when the file has another format */
export function readOutsideDns(path: string | undefined): OutsideRecord[] {
  if (path === undefined) return [];
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  const parsed = recordsSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error(`${path} holds no list of {type, name, content}: ${z.prettifyError(parsed.error)}`);
}

/**
 * @param custom the wire form of a custom hostname
 * @returns its status by those records: the name is active once a CNAME points into the zone or the TXT record proves
 * ownership, its certificate (validated over HTTP) once the CNAME points there
 */
export function validated(
  custom: Record<string, unknown>,
  records: readonly OutsideRecord[],
  zoneName: string,
): { status: string; sslStatus: string } {
  const same = (a: string, b: unknown) => a.toLowerCase().replace(/\.$/, "") === String(b).toLowerCase();
  const leadsHere = records.some(
    ({ type, name, content }) =>
      type === "CNAME" && same(name, custom.hostname) && inZone(content.toLowerCase().replace(/\.$/, ""), zoneName),
  );
  const proof = z.object({ name: z.string(), value: z.string() }).safeParse(custom.ownership_verification).data;
  const proven = records.some(
    ({ type, name, content }) => proof && type === "TXT" && same(name, proof.name) && content === proof.value,
  );
  return {
    status: leadsHere || proven ? "active" : "pending",
    sslStatus: leadsHere ? "active" : "pending_validation",
  };
}
