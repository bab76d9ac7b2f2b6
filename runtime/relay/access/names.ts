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
 * Longest title in bytes of UTF-8: 1,333 Korean characters. In a query each of these bytes takes three: 12,000, which
 * passes everywhere. Cloudflare's documentation names 16 and 32 KB as the limit of a URL. (In Unicode NFD, as macOS writes
 * names, the same title takes three times as much on the way; see MAX_HEAD_BYTES in `http/listener.ts`.)
 */
const MAX_TITLE_BYTES = 4000;

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
  const bytes = Buffer.byteLength(name);
  if (what === "title" && bytes > MAX_TITLE_BYTES) {
    throw invalid(
      `has ${bytes} bytes in UTF-8; at most ${MAX_TITLE_BYTES} are accepted (1,333 Korean characters). Send a shorter title, such as its hash.`,
    );
  }
  return name;
}

/** The headers that contain a name, and what each names. */
const NAME_HEADERS = { "Slm-Company": "company", "X-Slm-Company": "company", "Slm-Document": "title" } as const;

/**
 * Reads a name from the value of a header as Node gives it. It is percent-encoded UTF-8, since most HTTP clients reject
 * Korean in headers. Some send it as raw UTF-8: valid sequences beyond ASCII are UTF-8 beyond doubt, so they are accepted too.
 * @throws RelayError `document_name_invalid`
 */
export function readHeaderName(header: keyof typeof NAME_HEADERS, value: string): string {
  const invalid = (why: string) =>
    new RelayError(
      "document_name_invalid",
      `The header ${header}, ${JSON.stringify(value.slice(0, 80))}, ${why}. Percent-encode the name in UTF-8: %EA%B5%AD%EB%AF%BC is 국민 (encodeURIComponent in JavaScript, urllib.parse.quote in Python).`,
    );
  let text = value;
  if (NOT_ASCII.test(value)) {
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(value, "latin1"));
    } catch {
      throw invalid("is neither percent-encoded nor UTF-8 (it may be CP949 or Latin-1)");
    }
  }
  try {
    text = decodeURIComponent(text);
  } catch {
    throw invalid("is not percent-encoded UTF-8");
  }
  return readName(NAME_HEADERS[header], text);
}

/** Node decodes the values of headers as Latin-1, one character a byte. */
const NOT_ASCII = /[\x80-\xff]/;

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
