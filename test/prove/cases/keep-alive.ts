import { type Case, CHAT } from "../case.ts";

/** `keep_alive` is read by a regular expression: a text that is quadratic in it stops the event loop for seconds. */
export const keepAlive: Case = {
  name: "keep-alive",
  attack: "two requests at a time with a keep_alive of 60,000 digits",
  serviceMs: 0,
  quick: true,
  run: (attacker) =>
    attacker.repeat(2, () =>
      attacker.send({ path: CHAT, body: JSON.stringify({ model: "m", keep_alive: "1".repeat(60_000), messages: [] }) }),
    ),
};
