/** Ingestion: embeds documents and inputs of embedding calls, each once, and stores them. */
import { ingestDocument } from "./ingest-document.ts";
import { ingestInputs } from "./ingest-inputs.ts";
import type { IngestionParts } from "./ingestion-parts.ts";
import type { InputsRequest, InputsResult, PutRequest, PutResult } from "./ingestion-types.ts";

/** See `Documents`. */
export interface Ingestion {
  put(request: PutRequest): Promise<PutResult>;
  embedInputs(request: InputsRequest): Promise<InputsResult>;
}

export function createIngestion(parts: IngestionParts): Ingestion {
  return { put: (request) => ingestDocument(request, parts), embedInputs: (request) => ingestInputs(request, parts) };
}
