/** What the scanner of JSON is asked, finds, and refuses; see `json-scanner.ts`. */

/** Deepest nesting of objects and arrays that is accepted; Go's decoder stops at 10,000, real requests stay below 50. */
export const MAX_DEPTH = 512;

/** A member of the outermost object, as byte offsets. */
export interface Member {
  /** The key, decoded and folded as `foldKey` does. */
  readonly folded: string;
  /** The key, decoded. */
  readonly key: string;
  /** Where the key's opening quote is. */
  readonly keyStart: number;
  /** The value's first byte, and the byte after its last. */
  readonly start: number;
  readonly end: number;
  /** Where the commas before and after the member are; -1 where there is none. */
  readonly commaBefore: number;
  readonly commaAfter: number;
}

/** What was found in a JSON text. */
export interface Scan {
  readonly kind: "object" | "array" | "other";
  /** Of the outermost object: those whose folded key was asked for, in order, repeated ones too. */
  readonly members: readonly Member[];
  /** Offset after the outermost opening bracket, and that of the closing one. */
  readonly inside: number;
  readonly close: number;
  /** How many members the outermost object has. */
  readonly count: number;
}

/** Why bytes are not accepted. */
export type FaultKind = "not_utf8" | "not_json" | "too_deep" | "too_many_values" | "repeated";

/** The bytes are not accepted. `at`: byte offset of what is wrong, at most one slice off for `not_utf8`. */
export class JsonFault extends Error {
  readonly kind: FaultKind;
  readonly at: number;

  constructor(kind: FaultKind, at: number) {
    super(`${kind} at byte ${at}`);
    this.name = "JsonFault";
    this.kind = kind;
    this.at = at;
  }
}

export interface ScanOptions {
  /** Folded keys of the members to report. */
  readonly wanted: ReadonlySet<string>;
  /** Most values (objects, arrays and all that is in them) that are accepted. @default no bound */
  readonly maxValues?: number;
}

/**
 * The key as Go's decoder compares it: by Unicode simple folding, in which U+017F is an s and U+212A a k. To upper and then
 * to lower case gives both. Source: https://pkg.go.dev/encoding/json#Unmarshal
 */
export const foldKey = (key: string): string => key.toUpperCase().toLowerCase();
