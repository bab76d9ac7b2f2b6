/** Names of companies and documents, and which company a caller may speak for. Pure. */
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";

/** What a document is found by. Both names as `readName` gives them. */
export interface DocumentKey {
  readonly company: string;
  readonly title: string;
}

/** Longest names, in characters (code points). */
const MAX_CHARACTERS = { company: 200, title: 2000 } as const;

/**
 * Composing sorts combining marks, in time that grows with the square of how many follow each other. No writing has more.
 * Source: https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
 */
const MANY_MARKS = /\p{M}{31}/u;

/** A name as it is compared: trimmed, in Unicode NFC. */
export const normalizeName = (name: string): string => name.trim().normalize("NFC");

/**
 * A name as it is compared: trimmed, in Unicode NFC (macOS spells 한 in three code points where others use one), case kept.
 * @throws RelayError `document_name_invalid`
 */
export function readName(what: keyof typeof MAX_CHARACTERS, raw: unknown): string {
  const invalid = (why: string) => new RelayError("document_name_invalid", `The ${what} ${why}`);
  if (typeof raw !== "string") throw invalid("is missing. Name it in UTF-8.");
  const longest = MAX_CHARACTERS[what];
  // Composed to NFC a name becomes at most four times shorter; a code point is one or two units.
  const trimmed = raw.trim();
  if (trimmed.length > longest * 8) throw invalid(`is longer than ${longest} characters.`);
  if (!trimmed.isWellFormed()) throw invalid("is not UTF-8: it holds half a character.");
  if (MANY_MARKS.test(trimmed)) throw invalid("has more than 30 combining marks in a row.");
  const name = normalizeName(trimmed);
  if (name === "") throw invalid("is empty.");
  if (/\p{Cc}/u.test(name)) throw invalid("holds a control character, such as a line break. Take it out.");
  const length = [...name].length;
  if (length > longest) throw invalid(`has ${length} characters; at most ${longest} are accepted.`);
  return name;
}

/**
 * A name out of a header, percent-encoded UTF-8, since HTTP clients refuse Korean there.
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

/** The companies a caller may use, as they are compared; "all" for `["*"]`. */
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
