/** The key for the model server (`modelKey` of the stack's secrets), and what becomes of a call that is refused for it. */
import { RelayError } from "../errors.ts";

/** Longest part of the server's words that is kept, in bytes. */
const LONGEST = 2048;

/** The header that carries the key; none without one. */
export function keyHeader(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { authorization: `Bearer ${key}` };
}

/**
 * The error for a status 401 of the model server. The caller cannot do anything about it, and its own sign-in was right: so
 * it never sees the 401. @param words of the server, for the log
 */
export function keyRefused(key: string | undefined, words: string): RelayError {
  // Some servers repeat the key that they refuse.
  const shown = key === undefined ? words : words.replaceAll(key, "(modelKey)");
  const what = key === undefined ? "wants a key, and none is configured" : "refuses the key it gets";
  return new RelayError(
    "model_server_denied",
    `The model server on the Mac ${what} (401). The operator of this network sets it: \`pulumi config set --secret modelKey\`, then \`pulumi up\`. Your own sign-in was accepted.`,
    { detail: `the model server answered 401: ${shown.slice(0, 500)}` },
  );
}

/** Takes the body of an answer with status 401, which the caller never gets. */
export class KeyRefusal {
  #words = Buffer.alloc(0);

  write(chunk: Buffer): void {
    const room = LONGEST - this.#words.length;
    if (room > 0) this.#words = Buffer.concat([this.#words, chunk.subarray(0, room)]);
  }

  /** @param key of the model server */
  error(key: string | undefined): RelayError {
    return keyRefused(key, this.#words.toString("utf8"));
  }
}
