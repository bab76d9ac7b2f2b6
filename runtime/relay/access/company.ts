/** The company of a request: the header `Slm-Company`, or its older name `X-Slm-Company`. */
import type { IncomingMessage } from "node:http";
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { checkCompany, readHeaderName } from "./names.ts";

const HEADER = "Slm-Company";
/** The header's name when only the fallback used it. */
const OLD_HEADER = "X-Slm-Company";

/**
 * The company in a request's headers, normalized as the names of documents are (trimmed, NFC); undefined without one. Its
 * encoding: see `readHeaderName`.
 * @throws RelayError `company_invalid` (with a document's title `document_name_invalid`) for an invalid name or two different
 * names; `company_not_allowed` for a company that is not one of the caller's
 */
export function companyOf(req: IncomingMessage, caller: Pick<Caller, "companies" | "name">): string | undefined {
  const { headers } = req;
  if (headers["slm-company"] === undefined && headers["x-slm-company"] === undefined) return undefined;
  // Error codes are stable: together with a document's title, the company has always been part of the document's name.
  const code = headers["slm-document"] === undefined ? "company_invalid" : "document_name_invalid";
  // Not `headers`: there Node joins the values of a repeated header with a comma, which a name can contain.
  const names = ([HEADER, OLD_HEADER] as const).flatMap((header) =>
    (req.headersDistinct[header.toLowerCase()] ?? []).map((value) => readCompany(header, value, code)),
  );
  const [company, ...others] = new Set(names);
  if (others.length > 0) {
    const all = [company, ...others].map((name) => JSON.stringify(name)).join(" and ");
    throw new RelayError(code, `Slm-Company and X-Slm-Company name ${all}. Send one of them, once.`);
  }
  if (company !== undefined) checkCompany(caller, company);
  return company;
}

function readCompany(
  header: typeof HEADER | typeof OLD_HEADER,
  value: string,
  code: "company_invalid" | "document_name_invalid",
): string {
  try {
    return readHeaderName(header, value);
  } catch (cause) {
    if (!(cause instanceof RelayError)) throw cause;
    throw new RelayError(code, cause.message);
  }
}
