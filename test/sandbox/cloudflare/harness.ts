/** An account, its API on a free port, and the official client for it; all removed by `close`. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Cloudflare, { APIError } from "cloudflare";
import { CloudflareAccount } from "../../../sandbox/cloudflare/account.ts";
import type { AccountOptions } from "../../../sandbox/cloudflare/account-options.ts";
import { startCloudflareApi } from "../../../sandbox/cloudflare/api.ts";

export const account_id = "a".repeat(32);
export const zone_id = "b".repeat(32);
export const secret = Buffer.alloc(32, 7).toString("base64");

export interface Harness {
  account: CloudflareAccount;
  client: Cloudflare;
  url: string;
  lines: string[];
  statePath: string;
  clientFor(apiToken: string): Cloudflare;
  /** Stops the API and starts it again from the state file. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startHarness(options: Partial<AccountOptions> = {}): Promise<Harness> {
  const dir = mkdtempSync(join(tmpdir(), "slm-cloudflare-"));
  const statePath = join(dir, "account.json");
  const lines: string[] = [];
  const open = () =>
    new CloudflareAccount({
      accountId: account_id,
      zone: { id: zone_id, name: "example.com" },
      teamDomain: "acme.cloudflareaccess.com",
      apiTokens: [{ value: "all-token", permissions: "all" }],
      statePath,
      ...options,
    });
  const log = (line: string) => lines.push(line);
  let account = open();
  let api = await startCloudflareApi(account, { port: 0, log });
  const clientFor = (apiToken: string) => new Cloudflare({ apiToken, baseURL: api.url, maxRetries: 0, timeout: 5000 });
  const harness: Harness = {
    account,
    client: clientFor("all-token"),
    url: api.url,
    lines,
    statePath,
    clientFor,
    restart: async () => {
      await api.close();
      account.close();
      account = open();
      api = await startCloudflareApi(account, { port: 0, log });
      Object.assign(harness, { account, client: clientFor("all-token"), url: api.url });
    },
    close: async () => {
      await api.close();
      account.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return harness;
}

/** The refusal of a call: status and the first error. Fails when the call is not refused. */
export async function refusalOf(
  call: PromiseLike<unknown>,
): Promise<{ status: number; code: number; message: string }> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const [first] = error.errors;
    return { status: Number(error.status), code: first?.code ?? 0, message: first?.message ?? "" };
  }
  throw new Error("the call was not refused");
}

/** Calls the API without the client's types, to send what they would not allow. */
export async function raw(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { authorization: "Bearer all-token" },
) {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    signal: AbortSignal.timeout(5000),
  });
  const json = (await response.json()) as {
    success: boolean;
    errors: { code: number; message: string; source?: { pointer: string } }[];
    result: unknown;
  };
  return { status: response.status, headers: response.headers, ...json };
}
