/** What the suite's processes tell each other, and the names they share. */
import type { AttackOutcome } from "../case.ts";

/** The relay's hostname. */
export const HOST = "slm.example.com";
/** Leads through the same edge and tunnel to the model server, without the relay. */
export const CONTROL_HOST = "control.example.com";

/** Service tokens: one for the attacker, one for the quiet caller. They open nothing outside of this process tree. */
export const TOKENS = {
  attacker: { clientId: `${"a".repeat(32)}.access`, secret: "attacker-secret", tokenId: "token-attacker" },
  quiet: { clientId: `${"b".repeat(32)}.access`, secret: "quiet-secret", tokenId: "token-quiet" },
} as const;

/** The two headers of a server. */
export function tokenHeaders(who: keyof typeof TOKENS): Record<string, string> {
  const { clientId, secret } = TOKENS[who];
  return { "cf-access-client-id": clientId, "cf-access-client-secret": secret };
}

/** The edge is open. */
export interface EdgeReady {
  readonly url: string;
  readonly connectorAddress: string;
  readonly proxyUrl: string;
  readonly caFile: string;
  readonly connectorToken: string;
  readonly teamDomain: string;
  readonly audience: string;
}

/** Where the two hostnames lead from now on; answered by `"routed"`. */
export interface ToEdge {
  readonly relayUrl: string;
  readonly modelUrl: string;
  /** False: answers before the connector has it. @default true */
  readonly wait?: boolean;
}

/** What the key address of Access answers from now on, and whether Access takes another key first; answered by `"done"`. */
export interface ToKeys {
  readonly keys: "keys" | "garbage" | "slow";
  readonly rotate: boolean;
}

/** Starts the attack. */
export interface ToAttacker {
  readonly edgeUrl: string;
  /** Run side by side, with one token. */
  readonly cases: readonly string[];
  readonly seed: number;
}

/** From the attacker: its preparations are over, or the attack has ended. */
export type FromAttacker =
  | { readonly kind: "begun" }
  | { readonly kind: "ended"; readonly outcome: AttackOutcome; readonly failure?: string };
