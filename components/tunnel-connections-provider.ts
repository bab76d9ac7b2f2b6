/**
 * The dynamic provider behind `TunnelConnections`. Cloudflare refuses to delete a tunnel while it counts connections (error
 * 1022), and it counts one for a while after its connector has stopped.
 */
import type { CloudflareLookups } from "../accounts/cloudflare.ts";
import { cloudflareAccess } from "../accounts/credentials.ts";
import { describeFailure } from "../accounts/lookup-result.ts";
import "./compile-cache.ts";
import { isOtherProvider } from "./dynamic-state.ts";

/** The resource's inputs, which are its state too. */
export interface TunnelConnectionsInputs {
  readonly accountId: string;
  readonly tunnelId: string;
  /** The stack's `cloudflare:baseUrl`. */
  readonly baseUrl?: string | undefined;
}

/** Replaceable in tests. Times in milliseconds. */
export interface WaitOptions {
  readonly lookups?: Pick<CloudflareLookups, "tunnelConnections">;
  /** Longest wait. @default 180_000 */
  readonly withinMs?: number;
  /** Between two lookups. @default 3_000 */
  readonly pauseMs?: number;
  /** By default Pulumi shows it beside the resource. */
  readonly log?: (text: string) => void;
}

/** What changed. Asks nothing. */
export async function diff(olds: TunnelConnectionsInputs, news: TunnelConnectionsInputs) {
  const changed = (["accountId", "tunnelId", "baseUrl"] as const).some((key) => olds[key] !== news[key]);
  return { changes: changed || isOtherProvider(olds, news), replaces: [], deleteBeforeReplace: false };
}

/**
 * Waits until Cloudflare counts no connection of the tunnel. Returns without an error when it still counts one at the end, or
 * cannot be asked (no API token in the environment): then the deletion of the tunnel says so.
 */
export async function remove(state: TunnelConnectionsInputs, options: WaitOptions = {}): Promise<void> {
  const { withinMs = 180_000, pauseMs = 3_000, log = (text) => console.log(text) } = options;
  const lookups = options.lookups ?? (await lookupsOf(state));
  const deadline = Date.now() + withinMs;
  for (let isFirst = true; ; isFirst = false) {
    const result = await lookups.tunnelConnections(state.accountId, state.tunnelId);
    if (!result.ok) {
      if (result.failure.kind !== "not-found")
        log(`not waited for the tunnel's connections: ${describeFailure(result.failure)}`);
      return;
    }
    if (result.value === 0 || Date.now() + pauseMs > deadline) return;
    if (isFirst)
      log(`waiting up to ${Math.round(withinMs / 1000)} s until Cloudflare counts no connection of the tunnel`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

// Cloudflare's client takes a while to load, and `diff` needs none.
async function lookupsOf({ baseUrl }: TunnelConnectionsInputs): Promise<CloudflareLookups> {
  const { cloudflareLookups } = await import("../accounts/cloudflare.ts");
  return cloudflareLookups(cloudflareAccess((key) => (key === "cloudflare:baseUrl" ? baseUrl : undefined)));
}
