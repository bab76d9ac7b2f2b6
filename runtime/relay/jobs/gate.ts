/** Whether the model server takes work: shut when it was not there, opened again when a look finds it. */
import type { Upstream } from "../model/upstream.ts";

export interface Gate {
  readonly open: boolean;
  /** Shuts it, and looks every second until the model server answers; then `onOpen` is called. */
  shut(): void;
  close(): void;
}

const LOOK_MS = 1000;

/** Shut, too, while the breaker is not closed. */
export function createGate(upstream: Pick<Upstream, "look" | "breaker">, onOpen: () => void): Gate {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const look = async () => {
    const there = upstream.breaker.state === "closed" && (await upstream.look()).reachable;
    if (closed) return;
    timer = there ? undefined : setTimeout(() => void look(), LOOK_MS);
    if (there) onOpen();
  };
  const shut = () => {
    if (timer === undefined && !closed) timer = setTimeout(() => void look(), LOOK_MS);
  };
  return {
    get open() {
      if (timer === undefined && upstream.breaker.state !== "closed") shut();
      return timer === undefined && !closed;
    },
    shut,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
