/** What to do about a finding. Honest where Cloudflare promises nothing. */
import type { Finding } from "./findings.ts";

const list = (words: readonly string[]): string => words.join(", ");
const versions = (families: readonly number[]): string => families.map((family) => `IPv${family}`).join(" and ");

/** @returns one paragraph a finding; none for what needs no words */
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
        `Callers here enter Cloudflare at ${list(finding.colos)}, not at ${list(finding.expected)}. Which location they enter at follows their ` +
          "internet provider's peering with the addresses that DNS gives, and so the zone's plan; where the connector is has no " +
          "part in it, and Cloudflare promises a location on no plan.",
        ...(finding.otherFamilies.length > 0
          ? [
              `Only ${versions(finding.families)} goes there: over ${versions(finding.otherFamilies)} the entry is as wanted. ` +
                "Let the caller prefer that one.",
            ]
          : []),
        ...(anotherIsBetter
          ? []
          : [
              "What can be tried, the cheapest first: measure from the caller's own machine, since its provider decides, not yours " +
                "(`--url`, a copy of this folder is enough); measure other names beside it, e.g. a zone on a higher plan or a " +
                "workers.dev name (`--compare`); then route.mode saas on a zone that enters where it should; route.mode regional (an " +
                "Enterprise add-on, made for where data is handled: the entry may still be elsewhere); a private route over WARP " +
                "(docs/routes.md). Or live with it: against an answer that takes the model seconds it may not matter.",
            ]),
      ];
    case "compared-expected":
      return [
        `${finding.host} enters at ${list(finding.colos)} (${Math.round(finding.ms)} ms) from here. If it is a zone of yours, put ` +
          "the hostname there (slm-network:zoneId and hostname), or take it as the target of route.mode saas. That is a measurement " +
          "of today, not a promise.",
      ];
    case "challenged":
      return [
        `A Cloudflare challenge stands in the way (cf-mitigated: ${finding.by}): a server cannot solve it and gets 403. Security → ` +
          "Bots: Bot Fight Mode cannot be skipped by a rule, so switch it off for the zone; Super Bot Fight Mode and WAF rules can: " +
          "add a custom rule that skips them for this hostname. Access goes on shutting strangers out.",
      ];
    case "not-let-in":
      return [
        finding.withToken
          ? `Access answered ${finding.status} although a service token was sent: it is not valid, disabled, or another hostname's. The times end at the edge.`
          : `Access answered ${finding.status}: without a service token the times end at the edge. Set CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET, or run it where \`pulumi stack output\` works, to measure the whole way.`,
      ];
    case "no-connector":
      return [
        "Cloudflare answers 530: no connector of the tunnel is connected, or the name has no record. Is the Mac on, and does the " +
          "office have its line? `sudo launchctl print system | grep slm-network` on the Mac.",
      ];
    case "answer-failed":
      return [
        `The relay or what is before it answered ${finding.status}, so the split ends at the edge; look into /status.`,
      ];
    case "not-cloudflare":
      return ["No answer has a CF-Ray and there is no /cdn-cgi/trace: this name is not served by Cloudflare's proxy."];
    case "connector-elsewhere":
      return [
        `The tunnel's connectors are at ${list(finding.colos)}, not at ${list(finding.expected)}: the office's line leads there. ` +
          "cloudflared takes the nearest locations by itself; ask the office's provider about its routing to Cloudflare.",
      ];
    case "over-warp":
      return [
        "This machine's traffic goes through WARP (trace says warp=on): the entry is WARP's, not that of an ordinary caller.",
      ];
    case "family-fails":
      return [
        `IPv${finding.family} has an address, but no connection comes about (${finding.reason}): clients here lose time on it, or fall back.`,
      ];
    case "nothing-measured":
      return [`Nothing could be measured (${finding.reason}).`];
  }
}
