import { type Case, CHAT, chatBody } from "../case.ts";

const MIB = 1024 * 1024;

/** An answer waits for its reader in the caller's memory, not in the slot: the model server is free when it has answered. */
export const unreadAnswers: Case = {
  name: "unread-answers",
  attack: "16 direct calls at a time for answers of 24 MiB, of which it reads a little now and then",
  // Once the caller's memory is used up, the model server waits 5 s for the reader.
  serviceMs: 5500,
  quick: true,
  run: (attacker) =>
    attacker.repeat(16, () =>
      attacker.send({ path: CHAT, body: chatBody({ ms: 500, bytes: 24 * MIB, early: true }), read: "trickle" }),
    ),
};
