/** Work on documents as a job: how it is stored, and doing it. */
import { createHash } from "node:crypto";
import type { DocumentKey } from "../access/names.ts";
import { ERRORS, errorAnswer, QUOTA_CODES, RelayError } from "../errors.ts";
import { collectJson, JSON_TYPE } from "../http/json-output.ts";
import { MAX_ANSWER_BYTES, type OwnWork, WORK_HEADER } from "../jobs/own-work.ts";
import type { StoredAnswer } from "../jobs/store.ts";
import type { Documents } from "./documents.ts";
import { doWork, type WorkAnswer, type WorkKind, type WorkRequest } from "./work.ts";

const COMPANY = "slm-company";
const TITLE = "slm-document";
const KINDS: readonly WorkKind[] = ["put", "search", "embeddings"];

/** The stored headers of a job: which work, and the document that the request's headers named. */
export function headersOfJob(kind: WorkKind, key: DocumentKey | undefined): Record<string, string> {
  const names = key && { [COMPANY]: encodeURIComponent(key.company), [TITLE]: encodeURIComponent(key.title) };
  return { "content-type": JSON_TYPE, [WORK_HEADER]: kind, ...names };
}

/** Does jobs of documents, see `OwnWork`. */
export function createDocumentJobs(documents: Documents): OwnWork {
  return async ({ headers, query, body }, caller, { signal, memory, usage }) => {
    const { [WORK_HEADER]: named, [COMPANY]: company, [TITLE]: title } = headers;
    const kind = KINDS.find((one) => one === named);
    if (kind === undefined) throw new RelayError("internal", `This relay does not know the work ${named}.`);
    const key =
      company === undefined || title === undefined
        ? undefined
        : { company: decodeURIComponent(company), title: decodeURIComponent(title) };
    const work: WorkRequest = {
      kind,
      caller,
      query,
      key,
      body: Buffer.from(body.buffer, body.byteOffset, body.length),
    };
    try {
      // No client waits: all of it is background work.
      const client = { hasLeft: true, isAnswered: false, usage };
      const done = await doWork(work, { client, signal, ends: true, memory }, documents);
      const text = await collectJson(done.value, MAX_ANSWER_BYTES, (bytes) => memory.grow(bytes));
      if (text === undefined) throw tooLong();
      return storedAnswer(done, text);
    } catch (cause) {
      if (signal.aborted || !(cause instanceof RelayError) || !isFinal(cause)) throw cause;
      const { status, headers: more, body: text } = errorAnswer(cause);
      const { "Content-Length": _, ...kept } = more;
      return storedAnswer({ status, headers: kept }, Buffer.from(text));
    }
  };
}

/** Whether a repetition would be refused again. */
const isFinal = ({ code }: RelayError): boolean => !ERRORS[code].retry && code !== "internal" && !QUOTA_CODES.has(code);

const tooLong = () =>
  new RelayError(
    "document_too_large",
    `The answer is larger than ${MAX_ANSWER_BYTES / 1024 / 1024} MiB; a job cannot keep it. Leave out include, or use encoding=base64. The document is stored.`,
  );

/** An answer as it is kept, with names of headers in lower case as those of the model server are. */
export function storedAnswer({ status, headers }: Pick<WorkAnswer, "status" | "headers">, body: Buffer): StoredAnswer {
  const all = Object.entries({ "content-type": JSON_TYPE, ...headers });
  return {
    status,
    headers: Object.fromEntries(all.map(([name, value]) => [name.toLowerCase(), value])),
    body,
    sha256: createHash("sha256").update(body).digest("hex"),
  };
}
