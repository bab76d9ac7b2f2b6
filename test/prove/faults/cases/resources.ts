/** What the Mac runs out of: disk, descriptors, the right time. */
import type { FaultCase } from "../fault.ts";

const HOUR_MS = 3_600_000;

/** Jobs are being submitted, answers come in, documents are written. */
const diskFull: FaultCase = {
  name: "disk-full",
  fault: "the data folder's disk is full for 3 to 5 s, twice: during submissions, results and documents",
  needs: "disk",
  quick: true,
  forgetsAnswers: true,
  async run(ground) {
    for (let time = 0; time < 2; time += 1) {
      await ground.fillDisk("data");
      ground.tried();
      await ground.pause(3000, 5000);
      await ground.freeDisk("data");
      await ground.pause(1000, 2000);
    }
  },
};

/** Killed while it can write nothing: what is on the disk must be enough. */
const diskFullAtStart: FaultCase = {
  name: "disk-full-at-start",
  fault: "the relay is killed and starts while the data folder's disk is full",
  needs: "disk",
  forgetsAnswers: true,
  healthySeconds: 30,
  async run(ground) {
    await ground.fillDisk("data");
    ground.tried();
    const pid = ground.pid("relay");
    ground.signal("relay", "SIGKILL");
    await ground.startedAgain("relay", pid);
    await ground.pause(3000, 4000);
    await ground.freeDisk("data");
  },
};

const diskFullInstall: FaultCase = {
  name: "disk-full-install",
  fault: "the installer runs while the disk of its config is full, and again when it is not",
  needs: "disk",
  forgetsAnswers: true,
  healthySeconds: 30,
  async run(ground) {
    await ground.fillDisk("config");
    ground.tried();
    const relay = ground.pid("relay");
    const ran = await ground.install(3);
    if (ran.code === 0) ground.wrong("an installation that cannot write its files said that it is done");
    if (!/^the Mac's disk is full: .* has 0 MiB free[\s\S]*cannot be written.*were not changed/.test(ran.stderr))
      ground.wrong(`the installer said: ${ran.stderr}`);
    if (ground.pid("relay") !== relay) ground.wrong("an installation that changed nothing restarted the relay");
    await ground.freeDisk("config");
    const again = await ground.install(2);
    if (again.code !== 0) ground.wrong(`the installer failed with room on the disk: ${again.stderr}`);
  },
};

/** Between any two of its steps; the next one, after a power cut, finds what it left. */
const installKilled: FaultCase = {
  name: "install-killed",
  fault:
    "the installer is killed at a random moment, the Mac's power is cut, and the installer runs again, three times",
  forgetsAnswers: true,
  forgetsDocuments: true,
  healthySeconds: 40,
  async run(ground) {
    const from = performance.now();
    await ground.install(3);
    const wholeMs = performance.now() - from;
    for (let time = 0; time < 3; time += 1) {
      // One that has ended by then was not killed: the moment is drawn again, in a shorter span.
      for (let span = wholeMs; !(await ground.killInstaller(4 + time, Math.floor(ground.random() * span))); span /= 2) {
        if (span < wholeMs / 16) throw new Error("the installer could not be killed before its end");
      }
      ground.tried();
      await ground.powerCut();
      const again = await ground.install(2);
      if (again.code !== 0) ground.wrong(`the next installation failed: ${again.stderr}`);
    }
  },
};

const clock = (name: string, fault: string, shiftMs: number): FaultCase => ({
  name,
  fault,
  // A token is not valid yet, or any more, by the Mac's clock: Access's times are checked.
  mayAnswer: [401, 403],
  async run(ground) {
    await ground.clock(shiftMs);
    ground.tried();
    await ground.pause(5000);
    await ground.clock(0);
    ground.tried();
  },
});

const descriptors: FaultCase = {
  name: "descriptors",
  fault: "the relay loses its connections and can open two more descriptors only, for 5 s",
  needs: "prlimit",
  mayAnswer: [500],
  forgetsAnswers: true,
  async run(ground) {
    ground.hops.relay.cut();
    ground.hops.model.cut();
    await ground.pause(30);
    ground.descriptors(2);
    ground.tried();
    await ground.pause(5000);
    ground.descriptors(undefined);
  },
};

export const resources: readonly FaultCase[] = [
  diskFull,
  diskFullAtStart,
  diskFullInstall,
  installKilled,
  clock("clock-ahead", "the Mac's clock is set an hour ahead, and after 5 s an hour back", HOUR_MS),
  clock("clock-behind", "the Mac's clock is set an hour back, and after 5 s an hour ahead", -HOUR_MS),
  descriptors,
];
