/** The state of an account that no call of the program changes: what a person finds, or has to mend in the dashboard. */

/** How the account is found, whatever was declared in it; each can be changed while it runs. */
export interface Conditions {
  /** False: nobody has set up Zero Trust yet. */
  zeroTrust: boolean;
  /** The organisation's session, a Go duration. */
  sessionDuration: string;
  zoneStatus: "initializing" | "pending" | "active" | "moved";
  zonePaused: boolean;
  /** Bot Fight Mode. The edge of the sandbox does not enforce it. */
  fightMode: boolean;
}

/** An account in order. */
export const inOrder: Readonly<Conditions> = {
  zeroTrust: true,
  sessionDuration: "24h",
  zoneStatus: "active",
  zonePaused: false,
  fightMode: false,
};
