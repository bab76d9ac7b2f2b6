/** What the sandbox's model "thinks": the same text always gives the same tokens and the same vector. */
import { createHash } from "node:crypto";

const TOKEN_CHARACTERS = 3;

/** Cuts a text into tokens of a few characters; joined again they are the text. */
export function tokenize(text: string): string[] {
  const characters = [...text];
  const tokens: string[] = [];
  for (let i = 0; i < characters.length; i += TOKEN_CHARACTERS)
    tokens.push(characters.slice(i, i + TOKEN_CHARACTERS).join(""));
  return tokens;
}

/** The whole answer to the last thing said. */
export const answerTo = (text: string): string => `받은 말: ${text}`;

function normalize(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/**
 * A unit vector from the SHA-256 of the text. Fewer `dimensions` than the model has keep the first ones and are brought
 * to length one again, as Ollama does; more are ignored.
 */
export function embed(text: string, modelDimensions: number, dimensions = modelDimensions): number[] {
  const seed = createHash("sha256").update(text).digest();
  const vector: number[] = [];
  for (let block = 0; vector.length < modelDimensions; block++) {
    const bytes = createHash("sha256").update(seed).update(String(block)).digest();
    for (let i = 0; i < bytes.length && vector.length < modelDimensions; i += 4)
      vector.push(bytes.readInt32LE(i) / 2 ** 31);
  }
  return normalize(vector.slice(0, Math.max(1, Math.min(dimensions, modelDimensions))));
}
