/** `POST /v1/embeddings` with a document's name in its headers, for clients that know only OpenAI's API. */
import type { IncomingHttpHeaders } from "node:http";
import type { Caller } from "../../config.ts";
import type { Exchange } from "../exchange.ts";
import { sendJson } from "../json-output.ts";
import type { Documents } from "./documents.ts";
import { checkCompany, type DocumentKey, readHeaderName } from "./names.ts";
import { base64Of, rowOf } from "./vectors.ts";

/** Whether an embedding call says whose document it is about. */
export function namesDocument(headers: IncomingHttpHeaders): boolean {
  return headers["slm-company"] !== undefined || headers["slm-document"] !== undefined;
}

/** The document an embedding call is about. @throws RelayError `document_name_invalid`, `company_not_allowed` */
export function documentOf(headers: IncomingHttpHeaders, caller: Caller): DocumentKey {
  const company = readHeaderName("company", headers["slm-company"]);
  const title = readHeaderName("title", headers["slm-document"]);
  checkCompany(caller, company);
  return { company, title };
}

/**
 * Answers as OpenAI does. `usage` has only the tokens that were really embedded; the headers `Slm-Embedded` and
 * `Slm-Reused` say how many inputs were and were not. Throws as `Documents.put`, and `document_invalid` for a body whose
 * inputs are no texts.
 */
export async function serveEmbeddings(
  exchange: Exchange,
  caller: Caller,
  key: DocumentKey,
  body: Buffer,
  documents: Documents,
): Promise<void> {
  const read = await documents.reader.embeddings(caller.name, body);
  const { model, inputs, dimensions: asked, base64 } = read;
  const made = await documents.embedInputs({ key, model, inputs, dimensions: asked, caller });
  const data = function* () {
    for (const index of inputs.keys()) {
      const vector = rowOf(made.vectors, made.dimensions, index);
      yield { object: "embedding", index, embedding: base64 ? base64Of(vector) : vector };
    }
  };
  const usage = { prompt_tokens: made.tokens, total_tokens: made.tokens };
  const { res } = exchange;
  res.setHeader("Slm-Embedded", String(made.embedded));
  res.setHeader("Slm-Reused", String(made.reused));
  if (!made.stored) res.setHeader("Slm-Stored", "false");
  exchange.firstByteAt = performance.now();
  await sendJson(res, 200, { object: "list", data: data(), model, usage });
}
