/** The stream of states: connects, connects again, and knows when what is shown is old. */
import { PATHS, type PageState } from "../page-data.ts";

/** Without an event for so long the page says that it is not up to date. */
const STALE_MS = 10_000;
/** Pause before a new connection after one was refused; doubled up to a minute. */
const FIRST_PAUSE_MS = 2_000;
const LONGEST_PAUSE_MS = 60_000;

export type Connection = "connecting" | "live" | "stale" | "signed_out";

export interface Live {
  /** What is known; undefined before the first event. */
  readonly state: PageState | undefined;
  readonly connection: Connection;
  /** When the last event came. */
  readonly lastAt: number | undefined;
  /** Milliseconds that the relay's clock is ahead of this one. */
  readonly clockAhead: number;
}

/** @param changed called at each event, and when the connection's state changes */
export function connectLive(changed: () => void): Live {
  const live: { -readonly [K in keyof Live]: Live[K] } = {
    state: undefined,
    connection: "connecting",
    lastAt: undefined,
    clockAhead: 0,
  };
  let source: EventSource | undefined;
  let pause = FIRST_PAUSE_MS;
  let openedAt = 0;

  const become = (connection: Connection) => {
    if (live.connection === connection) return;
    live.connection = connection;
    changed();
  };
  const connect = () => {
    source?.close();
    openedAt = Date.now();
    source = new EventSource(PATHS.events);
    source.addEventListener("state", ({ data }: MessageEvent<string>) => {
      const patch = JSON.parse(data) as Partial<PageState>;
      if (live.state === undefined && patch.relay === undefined) return;
      live.state = { ...live.state, ...patch } as PageState;
      live.lastAt = Date.now();
      live.clockAhead = live.state.at - live.lastAt;
      pause = FIRST_PAUSE_MS;
      live.connection = "live";
      changed();
    });
    source.addEventListener("signed-out", () => {
      source?.close();
      source = undefined;
      become("signed_out");
    });
    source.addEventListener("error", () => {
      // A connection that broke is made again by the browser; one that was refused is not.
      if (source?.readyState !== EventSource.CLOSED) return;
      source = undefined;
      void isSignedOut().then((isOver) => {
        if (isOver) become("signed_out");
        else setTimeout(connect, pause);
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
      });
    });
  };
  connect();
  setInterval(() => {
    if (live.connection === "signed_out") return;
    const silent = Date.now() - (live.lastAt ?? openedAt);
    if (silent < STALE_MS) return;
    become("stale");
    // A laptop that slept has a connection that only looks open.
    if (source !== undefined && Date.now() - openedAt > 3 * STALE_MS) connect();
  }, 1000);
  return live;
}

/** Whether Access sends to its sign-in: without a session every request is redirected to another site. */
async function isSignedOut(): Promise<boolean> {
  try {
    const { type, status } = await fetch(PATHS.data, { redirect: "manual", cache: "no-store" });
    return type === "opaqueredirect" || status === 401 || status === 403;
  } catch {
    return false; // not reachable
  }
}
