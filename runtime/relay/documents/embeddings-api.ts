/** `POST /v1/embeddings` with a document's name in its headers, for clients that only support OpenAI's API. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type DocumentKey, readHeaderName } from "../access/names.ts";
import { RelayError } from "../errors.ts";

/** Whether an embedding call is about a document. A company alone only states whom the call is for. */
export function namesDocument(headers: IncomingHttpHeaders): boolean {
  return headers["slm-document"] !== undefined;
}

/** The document an embedding call for this company is about. @throws RelayError `document_name_invalid` */
export function documentOf(req: IncomingMessage, company: string | undefined): DocumentKey {
  // Not `headers`: there Node joins the values of a repeated header with a comma, which a title can contain.
  const titles = new Set(req.headersDistinct["slm-document"]?.map((value) => readHeaderName("Slm-Document", value)));
  const [title] = titles;
  if (title === undefined || titles.size > 1) {
    throw new RelayError("document_name_invalid", "The header Slm-Document must name one title. Send it once.");
  }
  if (company === undefined) {
    throw new RelayError(
      "document_name_invalid",
      "The header Slm-Company is missing: a document is named by Slm-Company and Slm-Document together. Send both, each once.",
    );
  }
  return { company, title };
}
