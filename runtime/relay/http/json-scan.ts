/** Types of the JSON scanner's options, results and errors; see `json-scanner.ts`. */

/** Deepest accepted nesting of objects and arrays; Go's decoder stops at 10,000, real requests stay below 50. */
export const MAX_DEPTH = 512;

/** A member of the outermost object, as byte offsets. */
export interface Member {
  /** The key, decoded and folded by `foldKey`. */
  readonly folded: string;
  /** The key, decoded. */
  readonly key: string;
  /** Offset of the key's opening quote. */
  readonly keyStart: number;
  /** Offsets of the value's first byte, and of the byte after its last. */
  readonly start: number;
  readonly end: number;
  /** Offsets of the commas before and after the member; -1 if there is none. */
  readonly commaBefore: number;
  readonly commaAfter: number;
}

/** Result of a scan. */
export interface Scan {
  readonly kind: "object" | "array" | "other";
  /** Members of the outermost object whose folded key was requested, in order, including repeated ones. */
  readonly members: readonly Member[];
  /** Offsets after the outermost opening bracket, and of the closing one. */
  readonly inside: number;
  readonly close: number;
  /** Number of members of the outermost object. */
  readonly count: number;
}

/** Why a text is refused. */
export type FaultKind = "not_utf8" | "not_json" | "too_deep" | "too_many_values" | "repeated";

/** The text is refused. `at`: byte offset of the problem, within one slice for `not_utf8`. */
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
  /** Most values (objects, arrays and everything in them). @default no limit */
  readonly maxValues?: number;
  /** Ends the scan of a long text between two slices, which rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The key as Go's decoder compares it: by Unicode simple folding, in which U+017F is an s and U+212A a k. Converting to upper
 * and then to lower case has the same result. Source: https://pkg.go.dev/encoding/json#Unmarshal
 */
export const foldKey = (key: string): string => key.toUpperCase().toLowerCase();
