/** What a case breaks and mends, on a running network. */
import { execFileSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import type { DaemonName, Ground } from "./fault.ts";
import type { FaultNetwork } from "./network.ts";

const STARTED_WITHIN_MS = 40_000;
/** The relay reads its shift ten times a second. */
const CLOCK_READ_MS = 300;

/** Process id of a daemon; 0 when it does not run. */
export function pidOf(network: FaultNetwork, daemon: DaemonName): number {
  return network.mac.mac.launchd.job(`local.slm-network.${daemon}`)?.pid ?? 0;
}

/** Processes of the installer on this network's Mac. */
function installers(network: FaultNetwork): number[] {
  const rows = execFileSync("ps", ["-axo", "pid=,command="], { encoding: "utf8" }).split("\n");
  const root = network.mac.mac.root;
  const ours = rows.filter((row) => /\/bin\/node \S+installer\.mjs install /.test(row) && row.includes(root));
  return ours.map((row) => Number.parseInt(row, 10));
}

/** The limit bounds the numbers, so it lies above so many that are free. @returns what leaves `more` descriptors */
function limitFor(pid: number, more: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < more || taken.has(limit); limit += 1) if (!taken.has(limit)) free += 1;
  return limit;
}

/** @param counted counts a fault @param wrong notes a violation */
export function groundOn(
  network: FaultNetwork,
  random: () => number,
  counted: () => void,
  wrong: (what: string) => void,
): Ground {
  const pid = (daemon: DaemonName): number => {
    const found = pidOf(network, daemon);
    if (found === 0) throw new Error(`the daemon ${daemon} does not run`);
    return found;
  };
  const { disks } = network;
  return {
    random,
    pause: (from, to = from) => wait(from + Math.floor(random() * (to - from))),
    tried: counted,
    pid,
    signal: (daemon, signal) => void process.kill(pid(daemon), signal),
    restart: async (daemon) => {
      await network.mac.mac.launchd.kickstart(`local.slm-network.${daemon}`, true);
    },
    async startedAgain(daemon, former) {
      for (const end = performance.now() + STARTED_WITHIN_MS; performance.now() < end; await wait(50)) {
        const now = pidOf(network, daemon);
        if (now !== 0 && now !== former) return;
      }
      throw new Error(`launchd did not start ${daemon} again within ${STARTED_WITHIN_MS / 1000} s`);
    },
    hops: network.hops,
    model: network.model,
    mongo: network.mongo,
    mongoRights: (rights) => network.mongo.tell(rights),
    keys: (answers) => network.keys({ keys: answers, rotate: false }),
    rotateKeys: () => network.keys({ keys: "keys", rotate: true }),
    fillDisk: async (of) => disks?.[of].fill(),
    freeDisk: async (of) => disks?.[of].free(),
    install: (graceSeconds) => network.install(graceSeconds),
    async killInstaller(graceSeconds, afterMs) {
      const ending = network.install(graceSeconds);
      let isRunning = true;
      void ending.then(() => {
        isRunning = false;
      });
      while (isRunning && installers(network).length === 0) await wait(20);
      await wait(afterMs);
      const running = installers(network);
      for (const pid of running) process.kill(pid, "SIGKILL");
      await ending;
      return running.length > 0;
    },
    async clock(shiftMs) {
      writeFileSync(network.clockFile, String(shiftMs));
      await wait(CLOCK_READ_MS);
    },
    descriptors(more) {
      const relay = pid("relay");
      const limit = more === undefined ? 8192 : limitFor(relay, more);
      execFileSync("prlimit", ["--pid", String(relay), `--nofile=${limit}:8192`]);
    },
    async powerCut() {
      await network.mac.mac.powerCut();
      await network.mac.mac.powerReturns();
    },
    signalSessions: (signal) => network.server?.signalSessions(signal),
    wrong,
  };
}
