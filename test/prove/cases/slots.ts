import { type Case, CHAT, chatBody } from "../case.ts";

/** A slot's time is charged: requests that are said to cost hardly any tokens get no more turns than others. */
export const longForFewTokens: Case = {
  name: "long-for-few-tokens",
  attack: "40 requests at a time that hold their slots for 2 seconds and report 2 tokens each",
  serviceMs: 2000,
  run: (attacker) =>
    attacker.repeat(40, () =>
      attacker.send({ path: CHAT, body: chatBody({ ms: 2000, promptTokens: 1, outputTokens: 1 }) }),
    ),
};

/** Calls that take no slot have connections of their own, and a bound. */
export const slotlessCalls: Case = {
  name: "slotless-calls",
  attack: "asks for the list of models, 400 times at a time",
  serviceMs: 0,
  mustRefuse: true,
  run: (attacker) => attacker.repeat(400, () => attacker.send({ method: "GET", path: "/v1/models" })),
};
