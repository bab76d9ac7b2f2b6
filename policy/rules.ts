/** The rules of the policy pack, as pure functions of one resource or of all of them. */

import { openMailDomains } from "../config/open-mail-domains.ts";
import { kindOf, resourceTypes } from "../config/resource-types.ts";
import { MAX_TTL_DAYS, MIN_TTL_DAYS } from "../runtime/documents-config.ts";
import { type InspectedResource, listAt, type Report, unknownValue, valueAt } from "./inspected-resource.ts";
import { partOf } from "./unprotected.ts";

const show = (value: unknown): string =>
  value === unknownValue ? "not known yet" : (JSON.stringify(value) ?? "not set");
const text = (value: unknown): string => (typeof value === "string" ? value.toLowerCase() : "");

/** Where a record leads, if it is to a tunnel. In a preview a new tunnel's address is not known: then it may be one. */
function leadsToTunnel({ type, props }: InspectedResource): boolean {
  if (kindOf(type) !== "record") return false;
  const content = valueAt(props, "content");
  if (content === unknownValue) return ["CNAME", unknownValue].includes(valueAt(props, "type") as string);
  return text(content).endsWith(".cfargotunnel.com");
}

/** A DNS-only record to a tunnel resolves to an unroutable address. */
export function tunnelRecordIsProxied(resource: InspectedResource, report: Report): void {
  if (!leadsToTunnel(resource)) return;
  const proxied = valueAt(resource.props, "proxied");
  if (proxied === true) return;
  report(
    `the record ${show(valueAt(resource.props, "name"))} leads to a tunnel and \`proxied\` is ${show(proxied)}: a tunnel answers proxied records only. Set proxied: true`,
  );
}

/** Host names that lead to a tunnel, and the resource that says so; `unknown` when the name is not known. */
function tunnelHostnames(resource: InspectedResource): { name: unknown; urn: string; isCustom?: boolean }[] {
  if (leadsToTunnel(resource)) return [{ name: valueAt(resource.props, "name"), urn: resource.urn }];
  // It leads to the zone's fallback origin, which is the tunnel's name here.
  if (kindOf(resource.type) === "customHostname") {
    return [{ name: valueAt(resource.props, "hostname"), urn: resource.urn, isCustom: true }];
  }
  if (kindOf(resource.type) !== "ingress") return [];
  const rules = listAt(resource.props, "config", "ingresses");
  if (rules === unknownValue) return []; // its names are seen by the record and the custom hostname
  return rules
    .map((rule) => ({ name: valueAt(rule, "hostname"), urn: resource.urn }))
    .filter(({ name }) => name !== undefined && name !== unknownValue);
}

/** The destinations of an application: `host` or `host/path`. */
function destinations({ props }: InspectedResource): unknown[] {
  const listed = listAt(props, "destinations");
  return [
    valueAt(props, "domain"),
    ...(listed === unknownValue ? [unknownValue] : listed.map((one) => valueAt(one, "uri"))),
  ];
}

/**
 * A custom hostname leads to the zone's fallback origin. The tunnel serves it only if a rule of its ingress has the name, which
 * is then checked by itself, or if requests without a rule of their own are served.
 */
function servesUnnamedHosts(resources: readonly InspectedResource[]): boolean {
  const ingresses = resources.filter(({ type }) => kindOf(type) === "ingress");
  return (
    ingresses.length === 0 ||
    ingresses.some(({ props }) => {
      const rules = listAt(props, "config", "ingresses");
      if (rules === unknownValue) return true;
      return rules.some(
        (rule) => [undefined, unknownValue].includes(valueAt(rule, "hostname") as undefined) && !isRefusal(rule),
      );
    })
  );
}
const isRefusal = (rule: unknown): boolean => /^http_status:/.test(text(valueAt(rule, "service")));

/** Without an application in front, a name that leads to the tunnel answers anyone. */
export function hostnameHasApplication(resources: readonly InspectedResource[], report: Report): void {
  const applications = resources.filter((resource) => kindOf(resource.type) === "application");
  const covered = new Set(applications.flatMap(destinations).map(text));
  const told = new Set<string>();
  const isOpen = servesUnnamedHosts(resources);
  for (const { name, urn, isCustom } of resources.flatMap(tunnelHostnames)) {
    if (isCustom && !isOpen) continue;
    const host = text(name);
    if (host !== "" && (covered.has(host) || told.has(host))) continue;
    told.add(host);
    report(
      host === ""
        ? "a record leads to a tunnel and its name is not known in the preview, so it cannot be checked whether Access is in front of it: write the name out"
        : `${show(host)} leads to a tunnel and no Access application has it as a destination, so it would answer anyone: declare a ZeroTrustAccessApplication with the destination ${show(host)}`,
      urn,
    );
  }
}

/** @returns why an include rule lets everyone in, or undefined */
function opensToAll(rule: unknown): string | undefined {
  if (rule === unknownValue) return "has an include rule that is not known in the preview: write its kind out";
  if (valueAt(rule, "everyone") !== undefined) return "includes everyone";
  if (valueAt(rule, "anyValidServiceToken") !== undefined) return "includes any service token of the account";
  const network = text(valueAt(rule, "ip", "ip"));
  if (/^(0\.0\.0\.0|::)\/0$|\/0$/.test(network)) return `includes every address (${network})`;
  const domain = text(valueAt(rule, "emailDomain", "domain"));
  if (openMailDomains.has(domain)) return `includes ${domain}, where anyone can get an address`;
  return undefined;
}

/** Faults of one policy, its own resource's or one written inside an application. */
function policyProblems(policy: unknown): string[] {
  const decision = valueAt(policy, "decision");
  if (decision === "bypass") return ["has the decision `bypass`, which checks no one"];
  if (decision === unknownValue) return ["has a decision that is not known in the preview: write it out"];
  if (decision === "deny") return [];
  const includes = listAt(policy, "includes");
  if (includes === unknownValue) return ["has include rules that are not known in the preview: write their kinds out"];
  return includes.map(opensToAll).filter((problem) => problem !== undefined);
}

/** No Access policy may let everyone in. */
export function accessPolicyIsNotOpen(resource: InspectedResource, report: Report): void {
  const inside = kindOf(resource.type) === "application" ? listAt(resource.props, "policies") : [];
  const policies =
    kindOf(resource.type) === "accessPolicy" ? [resource.props] : inside === unknownValue ? [unknownValue] : inside;
  for (const policy of policies) {
    // An entry of an application that only names a policy by id: that one is looked at by itself.
    if (kindOf(resource.type) === "application" && valueAt(policy, "decision") === undefined) continue;
    for (const problem of policyProblems(policy)) {
      report(
        `the Access policy ${show(valueAt(policy, "name") ?? resource.name)} ${problem}. Include servers by their token, people by address or by the company's own domain`,
      );
    }
  }
}

/**
 * The other rules look resources up in config/resource-types.ts. A type that is missing there would pass all of them: it
 * would count as holding no state and no secrets.
 */
export function typeIsKnown({ type, name }: InspectedResource, report: Report): void {
  if (kindOf(type) !== undefined || !resourcePackages.has(packageOf(type))) return;
  report(
    `${name} has the type ${type}, which config/resource-types.ts does not list, so that no rule can check it: add it there with \`holdsState\`, \`secretInputs\` and the API token's permission`,
  );
}

/** `cloudflare` of `cloudflare:index/dnsRecord:DnsRecord`. */
const packageOf = (type: string): string => type.split(":")[0] ?? "";
/** Packages whose resources the table lists; not the components, and not the engine's own types (`pulumi:`). */
const resourcePackages: ReadonlySet<string> = new Set(
  Object.values(resourceTypes).map(({ token }) => packageOf(token)),
);

/** The parts that a stack's config takes out of protection, by the stack's short name. */
export type UnprotectedParts = (stack: string) => ReadonlySet<string>;

/** In production every resource that holds state is protected, but for what the config unprotects by name. */
export function statefulIsProtected(resource: InspectedResource, report: Report, parts: UnprotectedParts): void {
  const stack = stackOf(resource);
  if (!isUnprotectedState(resource) || isExempt(resource, parts)) return;
  report(
    `${resource.name} holds state and is not protected in the stack ${stack}: set slm-network:protect: true (or protect: true in its options), or name the one part that is to be removed in slm-network:unprotect`,
  );
}

/** In production what the config unprotects is named, so that a reviewer sees what the next change could delete. */
export function unprotectedOnPurpose(resource: InspectedResource, report: Report, parts: UnprotectedParts): void {
  if (!isUnprotectedState(resource) || !isExempt(resource, parts)) return;
  report(
    `${resource.name} may be deleted: slm-network:unprotect has ${partOf(resource.name)}. Remove that entry once the part is gone, or is to stay`,
  );
}

const isUnprotectedState = (resource: InspectedResource): boolean =>
  isProduction(stackOf(resource)) && holdsState(resource) && !resource.protect;

const isExempt = (resource: InspectedResource, parts: UnprotectedParts): boolean =>
  parts(stackOf(resource)).has(partOf(resource.name) ?? "");

/** A dedicated cluster is never declared here; the rule holds for one that somebody adds. */
const holdsState = ({ type }: InspectedResource): boolean => {
  const kind = kindOf(type);
  return kind ? resourceTypes[kind].holdsState : type === "mongodbatlas:index/advancedCluster:AdvancedCluster";
};

/** `urn:pulumi:<stack>::<project>::…`; the SDK knows the stack only under some language hosts. */
const stackOf = ({ urn }: InspectedResource): string => urn.replace(/^urn:pulumi:/, "").split("::")[0] ?? "";
/** `prod`, `prod-kr`, `kr.production`; not `nonprod`, `non-prod` or `pre-prod`. */
const isProduction = (stack: string): boolean =>
  /(^|[-_.])prod(uction)?([-_.]|$)/i.test(stack) && !/(^|[-_.])(non|pre|not)[-_.]prod/i.test(stack);

const daySeconds = 86_400;

/** The days are the same as in the config; a program that declares the collection by itself has no other check. */
export function ttlIsInRange(resource: InspectedResource, report: Report): void {
  if (kindOf(resource.type) !== "collection") return;
  const seconds = valueAt(resource.props, "ttlSeconds");
  if (typeof seconds === "number" && seconds >= MIN_TTL_DAYS * daySeconds && seconds <= MAX_TTL_DAYS * daySeconds)
    return;
  const days = typeof seconds === "number" ? `${seconds / daySeconds} days` : show(seconds);
  report(
    `the documents of ${resource.name} go ${days} after their last use: it must be ${MIN_TTL_DAYS} to ${MAX_TTL_DAYS} days (slm-network:documents.ttlDays)`,
  );
}
