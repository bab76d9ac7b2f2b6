/** Reads bodies of document requests, of any length, without blocking the main thread. */
import { scanObject, withoutMark } from "../http/body-rules.ts";
import type { SearchBody } from "./bodies.ts";
import type { EmbeddingsWork, PutWork } from "./body-tasks.ts";
import type { BodyWorker } from "./body-worker.ts";
import type { ChunkSize } from "./chunker.ts";

/** Each reserves memory for the body and, for long ones, its parsed form. @throws RelayError `body_*`, `document_*` */
export interface Reader {
  put(caller: string, body: Buffer): Promise<PutWork>;
  search(caller: string, body: Buffer): Promise<SearchBody>;
  embeddings(caller: string, body: Buffer): Promise<EmbeddingsWork>;
}

/** Most values in a body: 100,000 chunks and the values around them. A parsed tree takes a multiple of the body. */
const MAX_VALUES = 100_100;
const NOTHING: ReadonlySet<string> = new Set();

export function createReader(bodyWorker: BodyWorker, size: ChunkSize): Reader {
  const scanned = async (bytes: Buffer): Promise<Buffer> => {
    const body = withoutMark(bytes);
    await scanObject(body, { wanted: NOTHING, maxValues: MAX_VALUES });
    return body;
  };
  return {
    async put(caller, bytes) {
      const body = await scanned(bytes);
      return bodyWorker.run(caller, body.length, "put", body, size);
    },
    async search(caller, bytes) {
      const body = await scanned(bytes);
      return bodyWorker.run(caller, body.length, "search", body);
    },
    async embeddings(caller, bytes) {
      const body = await scanned(bytes);
      return bodyWorker.run(caller, body.length, "embeddings", body);
    },
  };
}
