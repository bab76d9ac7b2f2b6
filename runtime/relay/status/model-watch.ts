/** Knows since when the model server answers, or does not: it is asked every half minute, also while nobody looks. */
import type { ModelState, Upstream } from "../model/upstream.ts";

const PROBE_MS = 30_000;

export interface ModelWatch {
  /** The state now; see `Upstream.look`. `since`: of the last change, in ms since 1970; undefined before the first. */
  look(): Promise<{ readonly state: ModelState; readonly since: number | undefined }>;
  close(): void;
}

/** @param now milliseconds since 1970 */
export function watchModel(
  upstream: Pick<Upstream, "look">,
  { everyMs = PROBE_MS, now = Date.now }: { readonly everyMs?: number; readonly now?: () => number } = {},
): ModelWatch {
  let last: boolean | undefined;
  let since: number | undefined;
  const look = async () => {
    const state = await upstream.look();
    if (last !== undefined && last !== state.reachable) since = now();
    last = state.reachable;
    return { state, since };
  };
  const timer = setInterval(() => void look(), everyMs);
  timer.unref();
  return { look, close: () => clearInterval(timer) };
}
