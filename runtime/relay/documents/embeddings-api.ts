/** `POST /v1/embeddings` with a document's name in its headers, for clients that only support OpenAI's API. */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Caller } from "../../config.ts";
import { type DocumentKey, readHeaderName } from "../access/names.ts";
import { RelayError } from "../errors.ts";
import type { HeldExchange } from "../http/exchange.ts";
import { sendJson } from "../http/json-output.ts";
import { reserveLargest } from "../memory/budget.ts";
import type { UsageEntry } from "../usage/entry.ts";
import { clientOf } from "./client.ts";
import type { Documents } from "./documents.ts";
import { MAX_DOCUMENT_BYTES } from "./store.ts";
import { base64Of, rowOf } from "./vectors.ts";

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

/**
 * Answers in OpenAI's format. `usage` counts only the tokens that were really embedded; the headers `Slm-Embedded` and
 * `Slm-Reused` count the inputs that were and were not. Throws as `Documents.put`, and `document_invalid` for a body whose
 * inputs are not texts.
 */
export async function serveEmbeddings(
  exchange: HeldExchange,
  caller: Caller,
  key: DocumentKey,
  body: Buffer,
  documents: Documents,
  usage?: UsageEntry,
): Promise<void> {
  // Continues when the client has disconnected. Memory: texts, vectors, the answer's text, and the stored document.
  const holding = exchange.holding.retain();
  try {
    holding?.memory.grow(3 * body.length + 2 * Math.min(MAX_DOCUMENT_BYTES, 16 * 1024 + 16 * body.length));
    await answerEmbeddings(exchange, caller, key, body, documents, usage);
  } finally {
    holding?.release();
  }
}

async function answerEmbeddings(
  exchange: HeldExchange,
  caller: Caller,
  key: DocumentKey,
  body: Buffer,
  documents: Documents,
  entry: UsageEntry | undefined,
): Promise<void> {
  const read = await documents.reader.embeddings(caller.name, body);
  const { model, inputs, dimensions: asked, base64 } = read;
  const made = await documents.embedInputs({
    key,
    model,
    inputs,
    dimensions: asked,
    caller,
    client: clientOf(exchange, entry),
    reserve: reserveLargest(exchange.holding.memory),
  });
  entry?.reused(made.reused);
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
  await sendJson(res, 200, { object: "list", data: data(), model, usage });
}
