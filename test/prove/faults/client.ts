/** One caller's requests, through the edge or through a direct line. A request never rejects: what it saw is its answer. */
import { Agent, type IncomingHttpHeaders, request } from "node:http";
import { HOST, type TOKENS, tokenHeaders } from "../measure/messages.ts";

/** What came back. */
export interface Reply {
  /** 0: the connection ended without an answer, or nothing came in time. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** What is asked. */
export interface Ask {
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Until the request is given up. @default 12_000 */
  readonly timeoutMs?: number;
}

/** Error code of the relay in an answer, if it has one. */
export const codeOf = ({ text }: Reply): string => /"code":\s*"(\w+)"/.exec(text)?.[1] ?? "";

/** A caller. */
export class Client {
  readonly #url: string;
  readonly #who: keyof typeof TOKENS;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string, who: keyof typeof TOKENS) {
    this.#url = url;
    this.#who = who;
  }

  send(method: string, path: string, { body, headers = {}, timeoutMs = 12_000 }: Ask = {}): Promise<Reply> {
    const sentHeaders = {
      host: HOST,
      ...tokenHeaders(this.#who),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    };
    return new Promise((resolve) => {
      const lost = (cause: string) => resolve({ status: 0, headers: {}, text: cause });
      const signal = AbortSignal.timeout(timeoutMs);
      const sent = request(
        `${this.#url}${path}`,
        { method, headers: sentHeaders, agent: this.#agent, signal },
        (answer) => {
          let text = "";
          answer.setEncoding("utf8");
          answer.on("data", (piece: string) => {
            text += piece;
          });
          answer.on("error", (cause) => lost(cause.message));
          answer.on("close", () => lost("the answer was cut"));
          answer.on("end", () => {
            if (answer.complete) resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text });
          });
        },
      );
      sent.on("error", (cause) => lost(cause.message));
      sent.on("close", () => lost("the connection ended"));
      sent.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
