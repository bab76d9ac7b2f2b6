/** Whether the model server takes work: shut when it was not there, opened again when a look finds it. */
import type { Upstream } from "../upstream.ts";

export interface Gate {
  readonly open: boolean;
  /** Shuts it, and looks every second until the model server answers; then `onOpen` is called. */
  shut(): void;
  close(): void;
}

const LOOK_MS = 1000;

export function createGate(upstream: Pick<Upstream, "look">, onOpen: () => void): Gate {
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const look = async () => {
    const { reachable } = await upstream.look();
    if (closed) return;
    if (reachable) {
      timer = undefined;
      onOpen();
    } else timer = setTimeout(() => void look(), LOOK_MS);
  };
  return {
    get open() {
      return timer === undefined && !closed;
    },
    shut() {
      if (timer === undefined && !closed) timer = setTimeout(() => void look(), LOOK_MS);
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
