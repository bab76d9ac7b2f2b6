/** One answer of the model server, whole in memory. */
import type { Pool } from "undici";
import { CallerLeft } from "./body.ts";
import { RelayError } from "./errors.ts";
import { headersFromModel } from "./headers.ts";
import { failure, type UpstreamCall } from "./upstream.ts";

export interface CollectedAnswer {
  readonly status: number;
  /** Those that may be passed on. */
  readonly headers: Record<string, string | string[]>;
  readonly body: Buffer;
}

/** See `Upstream.collect`. */
export async function collect(
  pool: Pool,
  base: string,
  { method, target, headers, body, signal }: Omit<UpstreamCall, "onHead">,
  maxBytes: number,
  onBytes: (bytes: number) => void,
): Promise<CollectedAnswer> {
  let begun = false;
  try {
    const answer = await pool.request({ method, path: base + target, headers, body, signal });
    begun = true;
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) {
        throw new RelayError("model_broke_off", `The answer is larger than ${maxBytes} bytes.`);
      }
      chunks.push(chunk);
      onBytes(chunk.length);
    }
    return { status: answer.statusCode, headers: headersFromModel(answer.headers), body: Buffer.concat(chunks, size) };
  } catch (cause) {
    if (signal.aborted) throw new CallerLeft("the call was given up");
    if (cause instanceof RelayError) throw cause;
    throw failure(cause instanceof Error ? cause : new Error(String(cause)), begun);
  }
}
