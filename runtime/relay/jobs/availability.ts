/** Whether jobs may be sent to the model server. Once it is unavailable, a probe each second finds when it is back. */
import type { Upstream } from "../model/upstream.ts";

export interface ModelAvailability {
  readonly available: boolean;
  /** Marks it unavailable until a probe succeeds; then `onOpen` is called. */
  markUnavailable(): void;
  close(): void;
}

const LOOK_MS = 1000;

/** Also unavailable while the circuit breaker is not closed. */
export function watchAvailability(upstream: Pick<Upstream, "look" | "breaker">, onOpen: () => void): ModelAvailability {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const look = async () => {
    const there = upstream.breaker.state === "closed" && (await upstream.look()).reachable;
    if (closed) return;
    timer = there ? undefined : setTimeout(() => void look(), LOOK_MS);
    if (there) onOpen();
  };
  const markUnavailable = () => {
    if (timer === undefined && !closed) timer = setTimeout(() => void look(), LOOK_MS);
  };
  return {
    get available() {
      if (timer === undefined && upstream.breaker.state !== "closed") markUnavailable();
      return timer === undefined && !closed;
    },
    markUnavailable,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
