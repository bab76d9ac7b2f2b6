import { type Case, CHAT, chatBody } from "../case.ts";

const IMAGE = [
  { type: "text", text: "What is this?" },
  { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(600 * 1024)}` } },
];

/**
 * A picture is estimated at 131,328 tokens and costs 1,000. What is given back at its end must not be more than what is still
 * charged, or the attacker has a credit that buys 500 turns.
 */
export const imageEstimate: Case = {
  name: "image-estimate",
  attack: "one request with a picture at a time, and 100 short ones of half a second each always waiting",
  serviceMs: 500,
  quick: true,
  async run(attacker) {
    const image = chatBody({ ms: 500, promptTokens: 900, outputTokens: 100 }, IMAGE);
    const short = chatBody({ ms: 500, promptTokens: 20, outputTokens: 10 });
    await Promise.all([
      attacker.repeat(1, () => attacker.send({ path: CHAT, body: image })),
      attacker.repeat(100, () => attacker.send({ path: CHAT, body: short })),
    ]);
  },
};
