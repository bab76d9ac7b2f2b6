import { AS_JOB, type Case, CHAT, chatBody } from "../case.ts";

/** Background work never holds the last slot, so a direct call need not wait for a job. */
export const jobsTakeSlots: Case = {
  name: "jobs-take-slots",
  attack: "submits 24 jobs of 6 seconds each",
  serviceMs: 0,
  quick: true,
  async run(attacker) {
    for (let jobs = 0; jobs < 24; jobs += 1) {
      await attacker.send({ path: CHAT, headers: AS_JOB, body: chatBody({ ms: 6000 }) });
    }
    attacker.begun();
    await attacker.pause(600_000);
  },
};

/** One owner's jobs do not take the disk from the others. */
export const jobDisk: Case = {
  name: "job-disk",
  attack: "submits jobs with bodies of 6 MiB until it is refused, and again as soon as one has gone",
  serviceMs: 0,
  quietAlso: ["job"],
  quick: true,
  mustRefuse: true,
  run: (attacker) => {
    const body = chatBody({ ms: 3000 }, "x".repeat(6 * 1024 * 1024));
    return attacker.repeat(2, () => attacker.send({ path: CHAT, headers: AS_JOB, body }));
  },
};

/** Nor do kept answers of direct calls. */
export const keyedAnswers: Case = {
  name: "keyed-answers",
  attack: "direct calls with an Idempotency-Key and answers of 7 MiB, which are kept for a day",
  serviceMs: 100,
  quietAlso: ["job"],
  run: (attacker) =>
    attacker.repeat(2, () =>
      attacker.send({
        path: CHAT,
        headers: { "idempotency-key": `key-${attacker.random()}` },
        body: chatBody({ ms: 100, bytes: 7 * 1024 * 1024 }),
      }),
    ),
};

/** Answers of jobs that were taken have room, whatever else is on the disk, and an end when they have none. */
export const jobAnswers: Case = {
  name: "job-answers",
  attack: "submits one job after the other with an answer of 15 MiB",
  serviceMs: 0,
  quietAlso: ["job"],
  run: (attacker) =>
    attacker.repeat(2, async () => {
      const body = chatBody({ ms: 100, bytes: 15 * 1024 * 1024 });
      return attacker.send({ path: CHAT, headers: { prefer: "respond-async, wait=10" }, body });
    }),
};
