/** Changes members of a JSON object in place of its bytes: what is not changed stays byte for byte as it was. Pure. */
import type { Scan } from "./json-scan.ts";

/** A stretch of bytes, and what stands in its place. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The object with `value` (JSON) as `key`: in place of each value it has under a key that folds to it, or as a new member. */
export function withMember(object: Buffer, { members, inside, count }: Scan, key: string, value: string): Buffer {
  const there = members.filter(({ folded }) => folded === key);
  if (there.length > 0)
    return edited(
      object,
      there.map(({ start, end }) => ({ start, end, text: value })),
    );
  const text = `${JSON.stringify(key)}:${value}${count === 0 ? "" : ","}`;
  return edited(object, [{ start: inside, end: inside, text }]);
}

/** The object without the members named `key` exactly. */
export function withoutMember(object: Buffer, scan: Scan, key: string): Buffer {
  return edited(object, removals(scan, [key]));
}

/**
 * What stands between the object's brackets, in pieces of the same memory, without the members of those exact keys; nothing
 * if those were all.
 */
export function innerPieces(object: Buffer, scan: Scan, keys: readonly string[]): Buffer[] {
  const removed = removals(scan, keys);
  return removed.length === scan.count ? [] : pieces(object.subarray(0, scan.close), removed, scan.inside);
}

/** A member goes with the comma before it; where that is gone or never was, with the comma after it. */
function removals(scan: Scan, keys: readonly string[]): Edit[] {
  let gone = 0;
  return scan.members
    .filter(({ key }) => keys.includes(key))
    .map(({ keyStart, end, commaBefore, commaAfter }) => {
      const start = commaBefore >= gone ? commaBefore : keyStart;
      gone = start === keyStart && commaAfter >= 0 ? commaAfter + 1 : end;
      return { start, end: gone, text: "" };
    });
}

function pieces(object: Buffer, edits: readonly Edit[], from: number): Buffer[] {
  const all: Buffer[] = [];
  let at = from;
  for (const { start, end, text } of edits) {
    all.push(object.subarray(at, start));
    if (text !== "") all.push(Buffer.from(text));
    at = end;
  }
  all.push(object.subarray(at));
  return all.filter(({ length }) => length > 0);
}

function edited(object: Buffer, edits: readonly Edit[]): Buffer {
  return Buffer.concat(pieces(object, edits, 0));
}
