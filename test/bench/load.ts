/** The load: closed loops of requests over kept connections, each with a token of its own. */
import { Client } from "undici";

export interface Shape {
  readonly connections: number;
  /** Path and query; see `model.ts`. */
  readonly target: string;
  readonly body: string;
  /** How long new requests are begun, in ms; 0: one request a connection. */
  readonly ms: number;
  readonly token: () => string;
  /** Further headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Counts answers other than 200 instead of throwing. */
  readonly countsFailures?: boolean;
}

export interface Result {
  readonly requests: number;
  readonly seconds: number;
  /** To the first byte of each body, in ms. */
  readonly firstMs: number[];
  readonly events: number;
  /** Answers other than 200, with `countsFailures`. */
  readonly failed: number;
}

const DATA = Buffer.from("data: {");

/** @throws when an answer is not 200 */
export async function load(
  url: string,
  { connections, target, body, ms, token, headers, countsFailures }: Shape,
): Promise<Result> {
  const clients = Array.from({ length: connections }, () => new Client(url, { headersTimeout: 0, bodyTimeout: 0 }));
  const firstMs: number[] = [];
  let events = 0;
  let requests = 0;
  let failed = 0;
  const startedAt = performance.now();
  const one = (client: Client) =>
    new Promise<void>((resolve, reject) => {
      const from = performance.now();
      let first = true;
      client.dispatch(
        {
          method: "POST",
          path: target,
          body,
          headers: {
            "content-type": "application/json",
            "cf-access-jwt-assertion": token(),
            "cf-ray": "8f0a1b2c3d4e5f60-ICN",
            ...headers,
          },
        },
        {
          onRequestStart() {},
          onResponseStart(_controller, status) {
            if (status === 200) return;
            failed += 1;
            if (!countsFailures) reject(new Error(`${url}${target} answers ${status}`));
          },
          onResponseData(_controller, chunk) {
            if (first) firstMs.push(performance.now() - from);
            first = false;
            for (let at = chunk.indexOf(DATA); at >= 0; at = chunk.indexOf(DATA, at + 1)) events += 1;
          },
          onResponseEnd: () => resolve(),
          onResponseError: (_controller, cause) => reject(cause),
        },
      );
    });
  await Promise.all(
    clients.map(async (client) => {
      do {
        await one(client);
        requests += 1;
      } while (performance.now() - startedAt < ms);
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await Promise.all(clients.map((client) => client.destroy()));
  return { requests, seconds, firstMs, events, failed };
}
