/** Calls to the model server, from their body to their answer: the stages accept, submit, count and answer of `handler.ts`. */
import { estimateTokens } from "./admission/admission.ts";
import { serveDocumentEmbeddings } from "./document-requests.ts";
import { namesDocument } from "./documents/embeddings-api.ts";
import { RelayError } from "./errors.ts";
import { acceptBody, beginUsage, fail, type Held, type Parts } from "./handler-parts.ts";
import type { Exchange } from "./http/exchange.ts";
import type { KeepAliveWriter } from "./http/keep-alive-writer.ts";
import type { ModelCall, Route } from "./http/router.ts";
import { type AcceptedCall, answerFromModel, openResponse } from "./model/call.ts";
import type { UsageEntry } from "./usage/entry.ts";

type JobRoute = Extract<Route, { kind: "job" }>;

/** Whether the path's id is one of a response that the caller made and the model server keeps. */
export const isStoredResponse = ({ caller }: Held, { act, id }: JobRoute, { responses }: Parts): boolean =>
  act === "response" && responses.owns(caller.name, id);

/** A response that the model server keeps, for the caller that made it. */
export async function serveStoredResponse(held: Held, { name, id }: JobRoute, parts: Parts): Promise<void> {
  const route = parts.router.storedResponse(name);
  if (route === undefined) throw new RelayError("internal", `${name} belongs to no dialect.`);
  await serveModelCall({ ...held, route }, parts);
  const { req, res } = held.exchange;
  if (req.method === "DELETE" && res.statusCode < 300) parts.responses.remove(held.caller.name, id);
}

export async function serveModelCall(held: Held<ModelCall>, parts: Parts): Promise<void> {
  const { exchange, route, caller, company } = held;
  if (route.queue === undefined) return callModel(held, undefined, parts);
  const { name: dialect } = route.dialect;
  const usage = beginUsage(exchange, { kind: "call", caller, company, dialect, path: route.name }, parts);
  try {
    await callModel(held, usage, parts);
  } finally {
    usage.workEnds();
  }
}

async function callModel(held: Held<ModelCall>, usage: UsageEntry | undefined, parts: Parts): Promise<void> {
  const { exchange, route, caller, company } = held;
  if (route.mayNameDocument === true && namesDocument(exchange.req.headers)) {
    return serveDocumentEmbeddings(held, usage, parts);
  }
  const checked = route.method === "POST" ? await acceptBody(held, parts) : undefined;
  const submitted = checked && (await parts.submit(exchange, route, caller.name, checked, company, usage));
  if (submitted?.kind === "answered") return;
  const estimatedTokens = checked === undefined ? 0 : estimateTokens(route, checked.body);
  const accepted: AcceptedCall = { ...held, checked, usage, estimatedTokens };
  let writer: KeepAliveWriter | undefined;
  try {
    // Also in here: a call that claimed an idempotency key must release it, whatever fails.
    if (usage !== undefined && checked !== undefined) {
      admitUsage(usage, exchange, estimatedTokens, checked.facts.models);
    }
    writer = openResponse(accepted, parts);
    await answerFromModel(accepted, writer, submitted?.copy, parts);
    if (submitted?.done !== undefined) await submitted.done(true);
  } catch (cause) {
    await submitted?.done?.(false);
    fail(exchange, cause, parts, writer);
  }
}

/** Counts a request against the quotas, and says on its response what is left of them. @throws RelayError, a 429 */
function admitUsage(usage: UsageEntry, { res }: Exchange, tokens: number, models: readonly string[]): void {
  usage.model = models[0] ?? null;
  const left = usage.admit(tokens).headers();
  for (const name in left) res.addHeader(name, left[name]!);
}
