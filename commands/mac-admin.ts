/** Asks the relay's admin listener on a Mac, which only programs on the Mac itself can reach. */
import { readAuth } from "../ssh/auth.ts";
import { openSession } from "../ssh/session.ts";
import { splitStatus } from "./curl-output.ts";
import { UsageError } from "./errors.ts";
import { type MacEntry, targetOf } from "./mac-settings.ts";

const timeoutMs = 120_000;

/** What it answered. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

/**
 * GETs a path of the admin listener, by curl over SSH; with `here` directly, on the Mac itself.
 * @param key file of the private key to sign in with; by default as `readAuth` finds one
 * @throws UsageError when no relay answers, SessionError when the sign-in fails
 */
export async function askAdmin(
  mac: MacEntry,
  path: string,
  { here = false, key }: { readonly here?: boolean; readonly key?: string | undefined } = {},
): Promise<AdminAnswer> {
  const url = `http://127.0.0.1:${mac.ports.admin}${path}`;
  if (here) return askFromHere(url);
  const session = await openSession(targetOf(mac), await readAuth(key));
  try {
    const ask = ["curl", "-sS", "--max-time", "110", "-w", "\\n%{http_code}", url];
    const { stdout, stderr, exitCode } = await session.run(ask, { timeoutMs });
    if (exitCode !== 0)
      throw new UsageError(`the relay on ${mac.name} does not answer (${stderr.trim()}): npm run doctor`);
    const { status, body } = splitStatus(stdout);
    return { status: Number(status), body };
  } finally {
    await session.close();
  }
}

/** The same from the Mac itself. @throws UsageError */
export async function askFromHere(url: string): Promise<AdminAnswer> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    return { status: response.status, body: await response.text() };
  } catch (cause) {
    const reason =
      cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : String(cause);
    throw new UsageError(`no relay answers at ${url} (${reason}): leave out --here on another computer`);
  }
}
