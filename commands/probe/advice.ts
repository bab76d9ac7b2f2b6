/** What to do about a conclusion. Promises nothing that Cloudflare does not. */
import type { Finding } from "./findings.ts";

const list = (words: readonly string[]): string => words.join(", ");
const versions = (families: readonly number[]): string => families.map((family) => `IPv${family}`).join(" and ");

/** @returns one paragraph per conclusion; none for what needs no explanation */
export function advice(found: readonly Finding[]): string[] {
  const another = found.some(({ kind }) => kind === "compared-expected");
  return found.flatMap((finding) => adviceOn(finding, another));
}

function adviceOn(finding: Finding, anotherIsBetter: boolean): string[] {
  switch (finding.kind) {
    case "entry-expected":
      return [];
    case "entry-elsewhere":
      return [
        `Callers here enter Cloudflare at ${list(finding.colos)}, not at ${list(finding.expected)}. The location depends on their internet ` +
          "provider's peering with the addresses that DNS returns, and so on the zone's plan. The connector's location plays no " +
          "part, and no plan of Cloudflare guarantees a location.",
        ...(finding.otherFamilies.length > 0
          ? [
              `Only ${versions(finding.families)} enters there: over ${versions(finding.otherFamilies)} the entry is as expected. ` +
                "Let the caller prefer that.",
            ]
          : []),
        ...(anotherIsBetter
          ? []
          : [
              "Options, cheapest first: measure from the caller's own machine, because its provider decides, not yours (`--url`; a " +
                "copy of this folder is enough); compare other names, e.g. a zone on a higher plan or a workers.dev name " +
                "(`--compare`); put the hostname into a zone that enters where it should; route.mode regional (an Enterprise " +
                "add-on for data residency: the entry may still be elsewhere); a private route (docs/routes.md). Or accept it: " +
                "compared to the seconds that a model takes, it may not matter.",
            ]),
      ];
    case "compared-expected":
      return [
        `${finding.host} enters at ${list(finding.colos)} (${Math.round(finding.ms)} ms) from here. If it is a zone of yours, put ` +
          "the hostname there (slm-network:zoneId and hostname). This is today's measurement, not a guarantee.",
      ];
    case "challenged":
      return [
        `A Cloudflare challenge blocks the request (cf-mitigated: ${finding.by}): a server cannot solve it and gets 403. Security → ` +
          "Bots: Bot Fight Mode cannot be skipped by a rule, so turn it off for the zone; for Super Bot Fight Mode and WAF rules add " +
          "a custom rule that skips them for this hostname. Access still keeps strangers out.",
      ];
    case "not-let-in":
      return [
        finding.withToken
          ? `Access answered ${finding.status} although a service token was sent: it is invalid, disabled, or for another hostname. The times end at the edge.`
          : `Access answered ${finding.status}: without a service token the times end at the edge. Set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, or run this where \`pulumi stack output\` works, to measure end to end.`,
      ];
    case "no-connector":
      return [
        "Cloudflare answers 530: no connector of the tunnel is connected, or the name has no record. Is the Mac on, and is the " +
          "office online? `npm run doctor` checks the Mac.",
      ];
    case "answer-failed":
      return [
        `The relay, or something in front of it, answered ${finding.status}, so the split ends at the edge; see /status.`,
      ];
    case "not-cloudflare":
      return [
        "No response has a CF-Ray and there is no /cdn-cgi/trace: this name is not served by Cloudflare's proxy.",
      ];
    case "connector-elsewhere":
      return [
        `The tunnel's connectors are at ${list(finding.colos)}, not at ${list(finding.expected)}: the office's provider routes there. ` +
          "cloudflared picks the nearest locations itself; ask the office's provider about its route to Cloudflare.",
      ];
    case "over-warp":
      return ["This machine uses WARP (warp=on in the trace): the entry is WARP's, not an ordinary caller's."];
    case "family-fails":
      return [
        `IPv${finding.family} has an address, but connections fail (${finding.reason}): clients here lose time or fall back.`,
      ];
    case "nothing-measured":
      return [`Nothing could be measured (${finding.reason}).`];
  }
}
