/** Sends one case and keeps what can be compared: status, headers, framing, and the form of what came. */
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import type { ParityCase } from "./cases.ts";
import { type Form, formOf, streamForm } from "./form.ts";

/** What a server answered. */
export interface Exchange {
  readonly status: number;
  /** Only those that say something: others differ with every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** How the body's end is told. */
  readonly framing: "chunked" | "content-length" | "until close" | "none";
  /** The form of a JSON body, or of the pieces of a stream in order; the text of anything else. */
  readonly body: Form | readonly Form[] | string;
  /** For a caller who left: whether the connection's end was taken without an error of the server's. */
  readonly left?: true;
}

/** Headers that are compared. */
const TELLING = ["content-type", "allow", "cache-control", "server", "location"];

/** @param models the names that stand for `{chat}` and `{embed}` */
export async function exchange(
  url: string,
  { method, path, body, leaves }: ParityCase,
  models: { chat: string; embed: string },
): Promise<Exchange> {
  const named = (text: string) => text.replaceAll("{chat}", models.chat).replaceAll("{embed}", models.embed);
  const text = body === undefined ? undefined : named(typeof body === "string" ? body : JSON.stringify(body));
  const { answer, sent } = await send(url + named(path), method, text);
  const headers = Object.fromEntries(
    TELLING.flatMap((name) => (answer.headers[name] === undefined ? [] : [[name, String(answer.headers[name])]])),
  );
  const framing = framingOf(answer);
  const status = answer.statusCode ?? 0;
  if (leaves) {
    await new Promise((resolve) => answer.once("data", resolve));
    sent.destroy();
    answer.on("error", () => {});
    return { status, headers, framing, body: "", left: true };
  }
  const chunks: Buffer[] = [];
  for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
  return {
    status,
    headers,
    framing,
    body: read(Buffer.concat(chunks).toString("utf8"), headers["content-type"] ?? ""),
  };
}

function send(
  url: string,
  method: string,
  body: string | undefined,
): Promise<{ answer: IncomingMessage; sent: ClientRequest }> {
  return new Promise((resolve, reject) => {
    const headers =
      body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request(url, { method, headers, agent: false }, (answer) => resolve({ answer, sent }));
    sent.on("error", reject);
    sent.end(body);
  });
}

function framingOf({ headers, statusCode, httpVersion }: IncomingMessage): Exchange["framing"] {
  if (headers["transfer-encoding"] === "chunked") return "chunked";
  if (headers["content-length"] !== undefined) return "content-length";
  return statusCode === 204 || httpVersion === "0.9" ? "none" : "until close";
}

function read(text: string, contentType: string): Exchange["body"] {
  if (/event-stream|ndjson/.test(contentType)) return streamForm(text);
  if (!/json/.test(contentType) || text === "") return text;
  return formOf(JSON.parse(text));
}
