import { AS_JOB, type Attacker, type Case, CHAT, chatBody } from "../case.ts";

const MIB = 1024 * 1024;
/** Until most of the 800 MiB are on their way; from then on is measured. */
const UPLOADING_MS = 8000;

/** Bodies that are being read count in the budget of memory, by caller and in all. */
export const slowUploads: Case = {
  name: "slow-uploads",
  attack: "20 uploads of 60 MiB that stop after 40 MiB and then go on slowly",
  serviceMs: 0,
  quick: true,
  mustRefuse: true,
  async run(attacker) {
    const body = chatBody({ ms: 1 }, "x".repeat(60 * MIB));
    const upload = async () => {
      while (!attacker.signal.aborted) {
        const reply = await attacker.send({ path: CHAT, body, trickle: { afterBytes: 40 * MIB, everyMs: 500 } });
        if (reply.status === 0 || reply.status >= 400) await attacker.pause(1000);
      }
    };
    const uploads = Array.from({ length: 20 }, upload);
    await attacker.pause(UPLOADING_MS);
    attacker.begun();
    await Promise.all(uploads);
  },
};

/** Many uploads that are small and slow: each is a connection and a request that does not end. */
export const openUploads: Case = {
  name: "open-uploads",
  attack: "400 uploads at a time that send a kilobyte every half second",
  serviceMs: 0,
  run: (attacker) => {
    const body = chatBody({ ms: 1 }, "x".repeat(MIB));
    return attacker.repeat(400, () => attacker.send({ path: CHAT, body, trickle: { afterBytes: 1024, everyMs: 500 } }));
  },
};

/** Documents that are being put, with those that wait for their turn to be embedded. */
export const documentPuts: Case = {
  name: "document-puts",
  attack: "puts 40 documents at a time with texts of 7 MiB, whose embedding takes 2 seconds",
  serviceMs: 0,
  quietAlso: ["document"],
  mustRefuse: true,
  run: (attacker) => {
    const chunks = [`ms=2000 ${"x".repeat(7 * MIB)}`];
    const body = Buffer.from(JSON.stringify({ chunks }));
    return attacker.repeat(40, () => {
      const path = `/v1/documents?company=attacker&title=t${attacker.random()}`;
      return attacker.send({ method: "PUT", path, body });
    });
  },
};

/** Answers that are copied on their way, to be kept. */
export const keptAnswers: Case = {
  name: "kept-answers",
  attack:
    "direct calls with an Idempotency-Key whose answers stop after 7 MiB for two seconds, from 4 at a time in the slots",
  serviceMs: 2000,
  run: (attacker) =>
    attacker.repeat(24, () =>
      attacker.send({
        path: CHAT,
        headers: { "idempotency-key": `kept-${attacker.random()}` },
        body: chatBody({ ms: 2000, bytes: 7 * MIB, early: true }),
      }),
    ),
};

async function jobWithResult(attacker: Attacker, bytes: number): Promise<string> {
  const submitted = await attacker.send({ path: CHAT, headers: AS_JOB, body: chatBody({ ms: 1, bytes }) });
  const job = /"id":"(job_\w+)"/.exec(submitted.text)?.[1];
  if (job === undefined) throw new Error(`no job: ${submitted.status} ${submitted.text.slice(0, 200)}`);
  const path = `/v1/jobs/${job}`;
  for (let tries = 0; tries < 20; tries += 1) {
    const state = await attacker.send({ method: "GET", path, headers: { prefer: "wait=5" } });
    if (state.text.includes('"completed"')) return `${path}/result`;
  }
  throw new Error("the job did not end");
}

/** Large results stream from the store; one that nobody reads is cut. */
export const parallelResults: Case = {
  name: "parallel-results",
  attack: "asks 64 times at once for a result of 24 MiB and reads nothing of it",
  serviceMs: 0,
  quick: true,
  async run(attacker) {
    const path = await jobWithResult(attacker, 24 * MIB);
    await attacker.repeat(64, () => attacker.send({ method: "GET", path, read: "nothing" }));
  },
};

/** The same, read as fast as it comes. */
export const repeatedResults: Case = {
  name: "repeated-results",
  attack: "16 at a time read a result of 24 MiB, again and again",
  serviceMs: 0,
  async run(attacker) {
    const path = await jobWithResult(attacker, 24 * MIB);
    await attacker.repeat(16, () => attacker.send({ method: "GET", path }));
  },
};

/** Open event streams and waiters are bounded per caller. */
export const eventStreams: Case = {
  name: "event-streams",
  attack: "opens 200 event streams and 200 waiting requests on a job that does not end",
  serviceMs: 0,
  mustRefuse: true,
  async run(attacker) {
    const submitted = await attacker.send({ path: CHAT, headers: AS_JOB, body: chatBody({ ms: 600_000 }) });
    const job = /"id":"(job_\w+)"/.exec(submitted.text)?.[1] ?? "none";
    let opened = 0;
    await attacker.repeat(400, async () => {
      opened += 1;
      if (opened > 400) await attacker.pause(1000);
      return opened % 2 === 0
        ? attacker.send({ method: "GET", path: `/v1/jobs/${job}/events`, read: "nothing" })
        : attacker.send({ method: "GET", path: `/v1/jobs/${job}`, headers: { prefer: "wait=60" } });
    });
  },
};
