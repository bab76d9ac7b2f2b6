/** Replaces and removes members of a JSON object by their byte offsets; the other bytes stay as they are. Pure. */
import type { Scan } from "./json-scan.ts";

/** A range of bytes and its replacement. */
interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The object with `value` (JSON) as `key`: it replaces each value under a key that folds to it, or becomes a new member. */
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
 * The text between the object's brackets, in pieces of the same memory, without the members with exactly those keys; empty
 * if there are no others.
 */
export function innerPieces(object: Buffer, scan: Scan, keys: readonly string[]): Buffer[] {
  const removed = removals(scan, keys);
  return removed.length === scan.count ? [] : pieces(object.subarray(0, scan.close), removed, scan.inside);
}

/** A member is removed with the comma before it, or the comma after it if there is none. */
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
