/** Reads the id of a response from the beginning of the model server's answer, streamed or not, as it passes. */
import type { Sink } from "../http/answer-writer.ts";

/** Bytes of the beginning in which it stands. */
const BEGINNING = 4096;
const RESPONSE_ID = /"id"\s{0,9}:\s{0,9}"(resp[\w-]{1,120})"/;

/** @param bytes the beginning of an answer */
export const responseIdIn = (bytes: Uint8Array): string | undefined =>
  RESPONSE_ID.exec(
    Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, BEGINNING)).toString("latin1"),
  )?.[1];

/** Passes an answer on. @param onId called at most once, before the piece with the id goes on */
export function tapResponseId(to: Sink, onId: (id: string) => void): Sink {
  let beginning: Buffer | undefined = Buffer.alloc(0);
  return {
    head(status, headers) {
      if (status !== 200) beginning = undefined;
      to.head(status, headers);
    },
    write(chunk) {
      if (beginning !== undefined) {
        beginning = Buffer.concat([beginning, chunk.subarray(0, BEGINNING - beginning.length)]);
        const id = responseIdIn(beginning);
        if (id !== undefined) onId(id);
        if (id !== undefined || beginning.length >= BEGINNING) beginning = undefined;
      }
      return to.write(chunk);
    },
    end: () => to.end(),
    onceDrained: (go) => to.onceDrained(go),
  };
}
