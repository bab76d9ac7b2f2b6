/** What the Atlas Admin API's errors mean: pure, from an answer to a `Failure`. */
import { z } from "zod";
import type { LookupFailure } from "./lookup-result.ts";

const bodySchema = z.object({
  errorCode: z.string().default(""),
  detail: z.string().default(""),
  /** Of the token's endpoint (RFC 6749). */
  error: z.unknown().optional(),
  error_description: z.string().optional(),
  parameters: z.array(z.unknown()).nullish(),
});

/**
 * - 401 or 400 `invalid_client` from the token's endpoint: no such service account
 * - 401 `UNAUTHORIZED`: no such key; 401 `USER_UNAUTHORIZED`, other 401 and 403: its role does not reach so far
 * - 403 `IP_ADDRESS_NOT_ON_ACCESS_LIST`: the key's own access list does not have this machine's address
 * - 404 `GROUP_NOT_FOUND`, `RESOURCE_NOT_FOUND`: no such thing, or nothing that the key may see
 * @see https://www.mongodb.com/docs/atlas/reference/api-errors/
 */
export function atlasFailure(status: number, text: string, subject: string): LookupFailure {
  const { errorCode, detail, parameters, error, error_description } = read(text);
  const address = parameters?.find((one): one is string => typeof one === "string" && /^[0-9a-f.:]+$/i.test(one));
  const kind = error === "invalid_client" ? "credentials" : kindOf(status, errorCode);
  return {
    kind,
    subject,
    reason: detail || error_description || text.slice(0, 200) || "no reason given",
    status,
    codes: errorCode ? [errorCode] : [],
    ...(kind === "permission" && { permission: "Project Read Only" }),
    ...(kind === "address" && address !== undefined && { address }),
  };
}

function read(text: string): z.infer<typeof bodySchema> {
  try {
    return bodySchema.parse(JSON.parse(text));
  } catch {
    return { errorCode: "", detail: "", parameters: [] };
  }
}

function kindOf(status: number, code: string): LookupFailure["kind"] {
  if (code === "IP_ADDRESS_NOT_ON_ACCESS_LIST" || code === "ORG_REQUIRES_ACCESS_LIST") return "address";
  if (status === 401 && code !== "USER_UNAUTHORIZED" && code !== "NOT_USER_ADMIN" && !code.endsWith("_UNAUTHORIZED")) {
    return "credentials";
  }
  if (status === 401 || status === 403) return "permission";
  if (status === 404) return "not-found";
  if (status === 429) return "limited";
  return status >= 500 ? "unreachable" : "refused";
}
