/** Conditions of an account that no call of the program changes, set in the dashboard. `refusals.ts` and the routes apply them. */

/** Conditions outside of what was declared. Each can be changed at run time: control action `set`, whose fields are `orderedConditions` in `sandbox/run.ts`. */
export interface Conditions {
  /** False: Zero Trust is not set up yet. */
  zeroTrust: boolean;
  /** The organisation's session, a Go duration. */
  sessionDuration: string;
  zoneStatus: "initializing" | "pending" | "active" | "moved";
  zonePaused: boolean;
  /** Bot Fight Mode. The edge of the sandbox does not enforce it. */
  fightMode: boolean;
  /** Cloudflare for SaaS is switched on for the zone. */
  saas: boolean;
  /** Custom hostnames that the zone can have at most. */
  customHostnameCap: number;
}

/** An account in order. */
export const inOrder: Readonly<Conditions> = {
  zeroTrust: true,
  sessionDuration: "24h",
  zoneStatus: "active",
  zonePaused: false,
  fightMode: false,
  saas: true,
  customHostnameCap: 5000,
};
