import { type Case, CHAT, chatBody } from "../case.ts";

/** A caller that leaves during prompt processing has used the slot, and pays for it. */
export const leaving: Case = {
  name: "leaving",
  attack: "40 requests of a second at a time, each left after 600 ms",
  serviceMs: 1000,
  run: (attacker) =>
    attacker.repeat(40, async () => {
      await attacker.send({ path: CHAT, body: chatBody({ ms: 1000 }), leaveAfterMs: 600 });
      return undefined;
    }),
};
