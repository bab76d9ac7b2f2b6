/** Names of companies and documents, and the companies of a caller. Pure. */
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";

/** The key of a document. Both names are normalized by `readName`. */
export interface DocumentKey {
  readonly company: string;
  readonly title: string;
}

/** Maximum lengths in characters (code points). */
const MAX_CHARACTERS = { company: 200, title: 2000 } as const;

/**
 * Composing sorts consecutive combining marks in quadratic time. No script needs more than 30.
 * Source: https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
 */
const MANY_MARKS = /\p{M}{31}/u;

/** Trims a name and converts it to Unicode NFC, without checks. */
export const normalizeName = (name: string): string => name.trim().normalize("NFC");

/**
 * Checks and normalizes a name: trimmed, in Unicode NFC (macOS writes 한 as three code points, others as one), case kept.
 * @throws RelayError `document_name_invalid`
 */
export function readName(what: keyof typeof MAX_CHARACTERS, raw: unknown): string {
  const invalid = (why: string) => new RelayError("document_name_invalid", `The ${what} ${why}`);
  if (typeof raw !== "string") throw invalid("is missing. Name it in UTF-8.");
  const longest = MAX_CHARACTERS[what];
  // NFC makes a name at most four times shorter; a code point is one or two UTF-16 units.
  const trimmed = raw.trim();
  if (trimmed.length > longest * 8) throw invalid(`is longer than ${longest} characters.`);
  if (!trimmed.isWellFormed()) throw invalid("is not UTF-8: it contains half a character.");
  if (MANY_MARKS.test(trimmed)) throw invalid("has more than 30 combining marks in a row.");
  const name = normalizeName(trimmed);
  if (name === "") throw invalid("is empty.");
  if (/\p{Cc}/u.test(name)) throw invalid("contains a control character, such as a line break. Remove it.");
  const length = [...name].length;
  if (length > longest) throw invalid(`has ${length} characters; at most ${longest} are accepted.`);
  return name;
}

/**
 * Reads a name from a header. It is percent-encoded UTF-8, since HTTP clients reject Korean in headers.
 * @throws RelayError `document_name_invalid`
 */
export function readHeaderName(what: keyof typeof MAX_CHARACTERS, value: string | string[] | undefined): string {
  const header = what === "company" ? "Slm-Company" : "Slm-Document";
  if (typeof value !== "string") {
    throw new RelayError("document_name_invalid", `The header ${header} is missing; both are needed, each once.`);
  }
  let decoded: string;
  try {
    decoded = decodeURIComponent(value);
  } catch {
    throw new RelayError("document_name_invalid", `The header ${header} is not percent-encoded UTF-8.`);
  }
  return readName(what, decoded);
}

/** The companies of a caller, normalized; "all" for `["*"]`. */
export function companiesOf(caller: Pick<Caller, "companies">): "all" | readonly string[] {
  return caller.companies.includes("*") ? "all" : caller.companies.map(normalizeName);
}

/** @throws RelayError `company_not_allowed` when the caller is not bound to the company */
export function checkCompany(caller: Pick<Caller, "companies" | "name">, company: string): void {
  const allowed = companiesOf(caller);
  if (allowed === "all" || allowed.includes(company)) return;
  throw new RelayError(
    "company_not_allowed",
    `The caller "${caller.name}" is not bound to the company ${JSON.stringify(company)}. Use one of its companies, or add it to the caller's in access.servers.`,
  );
}
