/**
 * The DNS of domains that are not the account's: a file that a person (or a test) writes, and that Cloudflare looks at to
 * validate custom hostnames. Like the real one it looks again by itself.
 * @see https://developers.cloudflare.com/cloudflare-for-platforms/cloudflare-for-saas/domain-support/hostname-validation/
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { inZone } from "./zone-name.ts";

const recordsSchema = z.array(z.object({ type: z.string(), name: z.string(), content: z.string() }));
/** A record at somebody else's DNS. */
export type OutsideRecord = z.infer<typeof recordsSchema>[number];

/** @returns the records in the file, none when there is no file. @throws when it is there but holds something else */
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
 * @returns its states by those records: the name is active once a CNAME leads into the zone or the TXT record proves it, its
 * certificate (validated over HTTP) once the CNAME leads there
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
