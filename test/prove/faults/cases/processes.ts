/** Every process of the path is killed, frozen and restarted. */
import type { DaemonName, FaultCase, Ground } from "../fault.ts";

const NAMES: Record<DaemonName, string> = {
  relay: "the relay",
  connector: "cloudflared",
  "direct.quiet": "the direct line's ssh",
};
const SHORT: Record<DaemonName, string> = { relay: "relay", connector: "connector", "direct.quiet": "line" };
/** launchd starts a line again after 10 s at the earliest; the others after 2 s. */
const healthyOf = (daemon: DaemonName) => (daemon === "direct.quiet" ? 40 : 20);
const needsOf = (daemon: DaemonName) => (daemon === "direct.quiet" ? ({ needs: "sshd" } as const) : {});

const killed = (daemon: DaemonName, quick = false): FaultCase => ({
  name: `${SHORT[daemon]}-killed`,
  fault: `SIGKILL to ${NAMES[daemon]} at random moments, three times`,
  quick,
  forgetsAnswers: daemon === "relay",
  healthySeconds: healthyOf(daemon),
  ...needsOf(daemon),
  async run(ground) {
    for (let kill = 0; kill < 3; kill += 1) {
      const pid = ground.pid(daemon);
      ground.signal(daemon, "SIGKILL");
      ground.tried();
      await ground.startedAgain(daemon, pid);
      await ground.pause(300, 2500);
    }
  },
});

const frozen = (daemon: DaemonName, quick = false): FaultCase => ({
  name: `${SHORT[daemon]}-frozen`,
  fault: `SIGSTOP to ${NAMES[daemon]} for 3 to 5 s, then SIGCONT, twice`,
  quick,
  healthySeconds: healthyOf(daemon),
  ...needsOf(daemon),
  async run(ground) {
    for (let time = 0; time < 2; time += 1) {
      ground.signal(daemon, "SIGSTOP");
      ground.tried();
      await ground.pause(3000, 5000);
      ground.signal(daemon, "SIGCONT");
      await ground.pause(300, 1000);
    }
  },
});

const restarted = (daemon: DaemonName): FaultCase => ({
  name: `${SHORT[daemon]}-restarted`,
  fault: `launchctl kickstart -k of ${NAMES[daemon]}, three times`,
  forgetsAnswers: daemon === "relay",
  healthySeconds: healthyOf(daemon),
  ...needsOf(daemon),
  async run(ground) {
    for (let time = 0; time < 3; time += 1) {
      await ground.restart(daemon);
      ground.tried();
      await ground.pause(1500, 3000);
    }
  },
});

const serverOf = (ground: Ground, which: "model" | "mongo") => ground[which];
const server = (which: "model" | "mongo", how: "SIGKILL" | "SIGTERM", words: string, quick = false): FaultCase => ({
  name: `${which}-${how === "SIGKILL" ? "killed" : "restarted"}`,
  fault: `${how} to ${words}, which is back after 1 to 3 s, twice`,
  ...(which === "mongo" && { store: "atlas" }),
  quick,
  // The circuit breaker asks again after 2, 4, 8 s.
  healthySeconds: 30,
  async run(ground) {
    for (let time = 0; time < 2; time += 1) {
      await serverOf(ground, which).end(how);
      ground.tried();
      await ground.pause(1000, 3000);
      await serverOf(ground, which).start();
      await ground.pause(1500, 2500);
    }
  },
});

const serverFrozen = (which: "model" | "mongo", words: string): FaultCase => ({
  name: `${which}-frozen`,
  fault: `SIGSTOP to ${words} for 4 to 8 s, then SIGCONT`,
  ...(which === "mongo" && { store: "atlas" }),
  healthySeconds: 40,
  async run(ground) {
    serverOf(ground, which).signal("SIGSTOP");
    ground.tried();
    await ground.pause(4000, 8000);
    serverOf(ground, which).signal("SIGCONT");
  },
});

/** As every process at once, and with the temporary folders emptied. */
const powerCut: FaultCase = {
  name: "power-cut",
  fault: "the Mac's power is cut and comes back",
  quick: true,
  forgetsAnswers: true,
  forgetsDocuments: true,
  healthySeconds: 40,
  async run(ground) {
    await ground.powerCut();
    ground.tried();
  },
};

/** The line's ends check each other every few seconds, and give up after three checks; then launchd waits 10 s. */
const lineServerFrozen: FaultCase = {
  name: "line-server-frozen",
  fault: "SIGSTOP to the direct line's session on the company's server, for good",
  needs: "sshd",
  healthySeconds: 75,
  async run(ground) {
    ground.signalSessions("SIGSTOP");
    ground.tried();
    await ground.pause(1000);
  },
};

const DAEMONS = ["relay", "connector", "direct.quiet"] as const;
export const processes: readonly FaultCase[] = [
  ...DAEMONS.map((daemon) => killed(daemon, daemon === "relay")),
  ...DAEMONS.map((daemon) => frozen(daemon, daemon === "relay")),
  ...DAEMONS.map(restarted),
  server("model", "SIGKILL", "the model server", true),
  server("model", "SIGTERM", "the model server"),
  serverFrozen("model", "the model server"),
  // The emulated MongoDB keeps nothing at a SIGKILL that it wrote in the last 200 ms; a replica set does.
  server("mongo", "SIGTERM", "MongoDB"),
  serverFrozen("mongo", "MongoDB"),
  powerCut,
  lineServerFrozen,
];
