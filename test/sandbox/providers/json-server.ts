/** A small HTTP server that keeps what it was asked and answers what a test says. */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: unknown;
}
export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
}
export interface JsonServer {
  url: string;
  /** Every request so far, oldest first. */
  asked: Asked[];
  close(): Promise<void>;
}

/** @param answer undefined never answers */
export async function jsonServer(answer: (asked: Asked) => Answer | undefined | Promise<Answer>): Promise<JsonServer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      const isForm = request.headers["content-type"]?.includes("x-www-form-urlencoded");
      const body: unknown = text === "" ? undefined : isForm ? text : JSON.parse(text);
      const one = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body };
      asked.push(one);
      const send = (given: Answer) => {
        response.writeHead(given.status ?? 200, { "content-type": "application/json", ...given.headers });
        response.end(given.body === undefined ? "" : JSON.stringify(given.body));
      };
      const given = answer(one);
      if (given instanceof Promise) given.then(send, () => response.destroy());
      else if (given) send(given);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
