/** Connections are cut, delayed and left half open, between each two processes of the path. */
import type { FaultCase, Ground, HopName } from "../fault.ts";

const BETWEEN: Record<Exclude<HopName, "keys">, string> = {
  edge: "edge and cloudflared",
  relay: "cloudflared and relay",
  model: "relay and model server",
  mongo: "relay and MongoDB",
};
const HOPS = ["edge", "relay", "model", "mongo"] as const;
const storeOf = (hop: HopName) => (hop === "mongo" ? ({ store: "atlas" } as const) : {});

/**
 * cloudflared pauses before it connects again: at random up to 10 s after the first loss of all its connections to the edge,
 * doubled with each further loss or refusal, up to 320 s (its supervisor/supervisor.go: `tunnelRetryDuration`; `--retries` is 5).
 * What it has counted is forgotten late, or by a restart: so a case begins with one, and its losses are few.
 */
const freshConnector = async ({ restart, pause }: Ground): Promise<void> => {
  await restart("connector");
  await pause(4000);
};

const cut = (hop: (typeof HOPS)[number]): FaultCase => ({
  name: `cut-${hop}`,
  fault: `connections between ${BETWEEN[hop]} are reset, ${hop === "edge" ? "twice, and once" : "four times, and twice"} refused for 1 to 2 s`,
  ...storeOf(hop),
  quick: hop === "relay",
  // Of the edge: two losses and a refused attempt, 40 s and 80 s at most.
  healthySeconds: hop === "edge" ? 85 : 30,
  async run(ground) {
    const { hops, pause, tried } = ground;
    if (hop === "edge") await freshConnector(ground);
    for (let time = 0; time < (hop === "edge" ? 2 : 4); time += 1) {
      if (time % 2 === 0) hops[hop].cut();
      else await hops[hop].refuse();
      tried();
      await pause(1000, 2000);
      await hops[hop].heal();
      // A job may lose its connection three times before it has failed, as docs/jobs.md says.
      await pause(1500, 2500);
    }
  },
});

const delayed = (hop: (typeof HOPS)[number]): FaultCase => ({
  name: `delay-${hop}`,
  fault: `everything between ${BETWEEN[hop]} takes 300 to 900 ms longer each way, for 6 s`,
  ...storeOf(hop),
  async run(ground) {
    const { hops, pause, tried, random } = ground;
    // The end of the delay may be a loss for it.
    if (hop === "edge") await freshConnector(ground);
    hops[hop].delay(300 + Math.floor(random() * 600));
    tried();
    await pause(6000);
    await hops[hop].heal();
  },
});

const halfOpen = (hop: (typeof HOPS)[number]): FaultCase => ({
  name: `half-open-${hop}`,
  fault: `connections between ${BETWEEN[hop]} lose everything and stay open, and neither end learns of it`,
  ...storeOf(hop),
  // By the time limits of each end: cloudflared's pings, the suite's model.timeouts, the driver's heartbeats.
  healthySeconds: 60,
  async run(ground) {
    const { hops, pause, tried } = ground;
    if (hop === "edge") await freshConnector(ground);
    // cloudflared and Cloudflare's edge rely on TCP's probes (Go's default: given up after 150 s), shortened here.
    hops[hop].halfOpen(hop === "edge" ? 10_000 : undefined);
    tried();
    await pause(1000);
  },
});

export const hops: readonly FaultCase[] = [...HOPS.map(cut), ...HOPS.map(delayed), ...HOPS.map(halfOpen)];
