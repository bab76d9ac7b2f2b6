/** What the relay asks beside the model server: the keys of Access, MongoDB. */
import type { FaultCase } from "../fault.ts";

/** The set on the disk serves for 7 days. */
const keysDown: FaultCase = {
  name: "keys-down",
  fault: "the key address of Access refuses connections, and the relay is restarted meanwhile",
  forgetsAnswers: true,
  async run(ground) {
    await ground.hops.keys.refuse();
    ground.tried();
    const pid = ground.pid("relay");
    ground.signal("relay", "SIGKILL");
    await ground.startedAgain("relay", pid);
    await ground.pause(4000);
    await ground.hops.keys.heal();
  },
};

/** With a new key there is nothing to check tokens with: refused until the address answers, at most 30 s longer. */
const keysGarbage: FaultCase = {
  name: "keys-garbage",
  fault: "Access signs with a new key while its key address answers with an HTML page, for 4 s",
  mayAnswer: [401, 403, 500],
  healthySeconds: 45,
  async run(ground) {
    await ground.keys("garbage");
    await ground.hops.keys.refuse();
    await ground.hops.keys.heal();
    await ground.rotateKeys();
    await ground.keys("garbage");
    ground.tried();
    await ground.pause(4000);
    await ground.keys("keys");
  },
};

const keysSlow: FaultCase = {
  name: "keys-slow",
  fault: "Access signs with a new key while its key address takes 4 s",
  mayAnswer: [401, 403],
  healthySeconds: 45,
  async run(ground) {
    await ground.rotateKeys();
    await ground.keys("slow");
    ground.tried();
    await ground.pause(6000);
    await ground.keys("keys");
  },
};

const mongoReadOnly: FaultCase = {
  name: "mongo-read-only",
  fault: "the relay's database user can only read, for 5 s",
  store: "atlas",
  async run(ground) {
    await ground.mongoRights("read-only");
    ground.tried();
    await ground.pause(5000);
    await ground.mongoRights("read-write");
  },
};

const mongoDown: FaultCase = {
  name: "mongo-down",
  fault: "MongoDB refuses connections for 6 to 10 s",
  store: "atlas",
  async run(ground) {
    await ground.hops.mongo.refuse();
    ground.tried();
    await ground.pause(6000, 10_000);
    await ground.hops.mongo.heal();
  },
};

export const services: readonly FaultCase[] = [keysDown, keysGarbage, keysSlow, mongoReadOnly, mongoDown];
