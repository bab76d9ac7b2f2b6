import { type Case, CHAT, chatBody } from "../case.ts";
import { BOUNDS } from "../limits.ts";

/** Over the bound the newest request of the longest caller goes, not the newcomer of another caller. */
export const queueFill: Case = {
  name: "queue-fill",
  attack: `keeps ${BOUNDS.chat} requests of a second running and ${BOUNDS.waiting} waiting, and asks again as soon as one is answered or refused`,
  serviceMs: 1000,
  quick: true,
  run: (attacker) =>
    attacker.repeat(BOUNDS.chat + BOUNDS.waiting + 20, async () => {
      const reply = await attacker.send({ path: CHAT, body: chatBody({ ms: 1000 }) });
      if (reply.status === 429) await attacker.pause(1000);
      return reply;
    }),
};

/** The same by bytes: few requests, each with a large body. */
export const queueFillBytes: Case = {
  name: "queue-fill-bytes",
  attack: "keeps 40 requests of a second with bodies of 8 MiB running and waiting",
  serviceMs: 1000,
  mustRefuse: true,
  run: (attacker) => {
    const body = chatBody({ ms: 1000 }, "x".repeat(8 * 1024 * 1024));
    return attacker.repeat(40, () => attacker.send({ path: CHAT, body }));
  },
};

/** Streams wait in the queue too, and after 20 s a byte of each has been sent: such a request is never turned away. */
export const queueFillStreams: Case = {
  name: "queue-fill-streams",
  attack: "fills the queue with event streams of two seconds",
  serviceMs: 2000,
  run: (attacker) =>
    attacker.repeat(BOUNDS.waiting + 20, async () => {
      const body = JSON.stringify({ ...(JSON.parse(chatBody({ ms: 2000 })) as object), stream: true });
      const reply = await attacker.send({ path: CHAT, body });
      if (reply.status === 429) await attacker.pause(1000);
      return reply;
    }),
};
