import { describe, expect, it } from "vitest";
import type { DeployedResource } from "../../accounts/deployed.ts";
import { servesCustomHostname } from "../../accounts/saas-phase.ts";
import { resourceTypes } from "../../config/resource-types.ts";
import type { RouteConfig } from "../../config/route.ts";

const saas: RouteConfig = { mode: "saas", direct: [], expectColo: ["ICN"], saasHostname: "slm.other.net" };
const proxied: RouteConfig = { mode: "proxied", direct: [], expectColo: ["ICN"] };
const ingress = (...hostnames: string[]): DeployedResource => ({
  urn: "urn",
  type: resourceTypes.ingress.token,
  name: "slm-ingress",
  outputs: { config: { ingresses: [...hostnames.map((hostname) => ({ hostname })), { service: "http_status:404" }] } },
});

describe("Access and the tunnel have the custom hostname", () => {
  it.each<[string, RouteConfig, string | undefined, DeployedResource[], boolean]>([
    ["not before it exists", saas, undefined, [], false],
    ["not while it is pending", saas, "pending", [ingress("slm.example.com")], false],
    ["not when it is blocked", saas, "blocked", [], false],
    ["once it is active", saas, "active", [ingress("slm.example.com")], true],
    ["still, when a served name loses its state", saas, "moved", [ingress("slm.example.com", "slm.other.net")], true],
    ["not in another mode", proxied, "active", [ingress("slm.other.net")], false],
  ])("%s", async (_when, route, status, deployed, expected) => {
    const lookups = { customHostnameStatus: async () => status };
    expect(await servesCustomHostname(route, lookups, deployed)).toBe(expected);
  });
});
