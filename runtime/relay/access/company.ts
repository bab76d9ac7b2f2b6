/** The company of a request: the header `Slm-Company`, or its older name `X-Slm-Company`. */
import type { IncomingMessage } from "node:http";
import type { Caller } from "../../config.ts";
import { RelayError } from "../errors.ts";
import { checkCompany, readHeaderName } from "./names.ts";

const HEADER = "slm-company";
/** The header's name when only the fallback used it. */
const OLD_HEADER = "x-slm-company";

/**
 * The company in a request's headers, normalized as the names of documents are (trimmed, NFC); undefined without one. The
 * value is percent-encoded UTF-8, since many HTTP clients allow only ASCII in headers.
 * @throws RelayError `company_invalid` (with a document's title `document_name_invalid`) for an invalid name or two different
 * names; `company_not_allowed` for a company that is not one of the caller's
 */
export function companyOf(req: IncomingMessage, caller: Pick<Caller, "companies" | "name">): string | undefined {
  const { headers } = req;
  if (headers[HEADER] === undefined && headers[OLD_HEADER] === undefined) return undefined;
  // Not `headers`: there Node joins the values of a repeated header with a comma, which a name can contain.
  const values = [HEADER, OLD_HEADER].flatMap((name) => req.headersDistinct[name] ?? []);
  // Error codes are stable: together with a document's title, the company has always been part of the document's name.
  const code = headers["slm-document"] === undefined ? "company_invalid" : "document_name_invalid";
  const [company, ...others] = new Set(values.map((value) => readCompany(value, code)));
  if (others.length > 0) {
    const names = [company, ...others].map((name) => JSON.stringify(name)).join(" and ");
    throw new RelayError(code, `Slm-Company and X-Slm-Company name ${names}. Send one of them, once.`);
  }
  if (company !== undefined) checkCompany(caller, company);
  return company;
}

function readCompany(value: string, code: "company_invalid" | "document_name_invalid"): string {
  try {
    return readHeaderName("company", value);
  } catch (cause) {
    if (!(cause instanceof RelayError)) throw cause;
    throw new RelayError(code, cause.message);
  }
}
