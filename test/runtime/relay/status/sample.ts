/** A state of the page for tests. */
import type { PageState } from "../../../../runtime/relay/status/page-data.ts";
import type { StatusData } from "../../../../runtime/relay/status/status.ts";

export const AT = Date.parse("2026-11-28T04:00:00Z");

export function pageStateWith(changes: Partial<PageState> = {}): PageState {
  return {
    at: AT,
    relay: { hostname: "slm.example.com", startedAt: AT - 3_600_000, draining: false, disk: null },
    model: { reachable: true, reason: null, since: null, models: ["slm"], kind: "ollama", embeddingModel: "bge" },
    speed: { tokensPerSecond: 0, perAnswer: null, firstTokenMs: null, calls: 0, callsWindowMs: 300_000 },
    queues: [],
    jobs: { available: true, counts: { queued: 0, in_progress: 0, completed: 0, failed: 0, cancelled: 0 }, latest: [] },
    documents: null,
    outages: [],
    tokens: [],
    adaptive: null,
    lines: [],
    warnings: [],
    audit: [],
    ...changes,
  };
}

/** Text that would do harm if any of it were taken for HTML. */
export const EVIL = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&{reason}`;

export function statusDataWith(changes: Partial<StatusData> = {}): StatusData {
  const lane = {
    slots: 4,
    running: 1,
    runningBackground: 0,
    waiting: 2,
    waitingBytes: 0,
    waitingBackground: 0,
    longestWaitMs: 0,
    serviceMs: 0,
    callers: {},
  };
  return {
    hostname: "slm.example.com",
    startedAt: "2026-11-27T02:59:00Z",
    uptimeSeconds: 90_060,
    draining: false,
    model: {
      reachable: true,
      models: ["slm"],
      checkedAt: "2026-11-28T04:00:00Z",
      kind: "ollama",
      embeddingModel: "bge",
      circuit: "closed",
    },
    lanes: { chat: lane, embeddings: lane },
    tally: {
      inFlight: 0,
      requests: 0,
      byStatus: {},
      byCaller: {},
      byColo: {},
      clientAborts: 0,
      upstreamErrors: 0,
    },
    ...changes,
  };
}
