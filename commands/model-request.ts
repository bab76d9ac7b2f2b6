/** Requests to the model server from the Mac itself, by its own curl over SSH: the server listens on the Mac's loopback. */
import { withoutSlash } from "../runtime/base-url.ts";
import { type ModelServerKind, modelServer } from "../runtime/model-servers.ts";
import type { MacSession } from "../ssh/session.ts";
import { splitStatus } from "./curl-output.ts";

/** An answer, or curl's message when there was none. */
export type ModelReply =
  | { readonly status: number; readonly body: string }
  | { readonly status: undefined; readonly why: string };

const askMs = 15_000;

/**
 * @param about.key of the model server; it goes through standard input, since `ps` shows arguments
 * @param about.body sent as JSON by POST; a GET without one
 * @param about.timeoutMs default 15,000
 */
export async function askModelServer(
  session: Pick<MacSession, "run">,
  url: string,
  { key, body, timeoutMs = askMs }: { key?: string | undefined; body?: unknown; timeoutMs?: number } = {},
): Promise<ModelReply> {
  const settings = [
    ...(key === undefined ? [] : [["header", `Authorization: Bearer ${key}`] as const]),
    ...(body === undefined
      ? []
      : [["header", "Content-Type: application/json"] as const, ["data-binary", JSON.stringify(body)] as const]),
  ];
  const limits = ["--max-time", String(timeoutMs / 1000), "--noproxy", "*"];
  const { exitCode, stdout, stderr } = await session.run(
    ["curl", "--silent", "--show-error", ...limits, "--write-out", "\\n%{http_code}", "--config", "-", url],
    { stdin: settings.map(([name, value]) => `${name} = ${quoted(value)}\n`).join(""), timeoutMs: timeoutMs + askMs },
  );
  if (exitCode !== 0) return { status: undefined, why: stderr.trim() || `curl ended with ${exitCode}` };
  const answer = splitStatus(stdout);
  return { status: Number(answer.status), body: answer.body };
}

/** In a file of curl's options. Source: https://curl.se/docs/manpage.html#-K */
const quoted = (value: string): string => `"${value.replace(/[\\"]/g, "\\$&")}"`;

/** The server asks for a key, or refuses the one it got. */
export const isRefused = ({ status }: ModelReply): boolean => status === 401 || status === 403;

/**
 * Whether the server refuses to compute without (another) key: some versions of llama-server list the models without a
 * key. The request is invalid, so that no model is loaded for it; keys are checked first.
 */
export async function wantsKey(
  session: Pick<MacSession, "run">,
  { kind, url, key }: { kind: ModelServerKind; url: string; key?: string | undefined },
): Promise<boolean> {
  const { keyedPath } = modelServer(kind);
  if (keyedPath === undefined) return false;
  return isRefused(await askModelServer(session, withoutSlash(url) + keyedPath, { key, body: {} }));
}
