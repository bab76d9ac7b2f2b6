/**
 * A row of the ledger in the making, and its hold on the quotas. It is recorded when its request has ended and the work for
 * it too: embedding goes on after a client has disconnected.
 */
import type { Caller } from "../../config.ts";
import { normalizeName } from "../access/names.ts";
import type { RequestEnd, RequestEndListener } from "../http/request-record.ts";
import type { Ledger } from "./ledger.ts";
import type { QuotaHold } from "./quota-hold.ts";
import type { Quotas } from "./quotas.ts";
import { allTokens, type ServedBy, type UsageKind, type UsageRow } from "./row.ts";
import { promptTokens, type Usage } from "./usage.ts";

/** What an entry is about. */
export interface EntryStart {
  readonly kind: UsageKind;
  readonly caller: Caller;
  /** As the request names it, normalized. */
  readonly company: string | undefined;
  /** Name of the dialect; `relay` for the relay's own paths. */
  readonly dialect: string;
  /** The path's pattern. */
  readonly path: string;
}

/** What a call used: a chat's tokens, or an embedding model's. */
export interface CallUsage {
  readonly by: ServedBy;
  readonly queue: "chat" | "embeddings";
  readonly usage: Usage;
  /** Length of the request's body: stands for the prompt's tokens if the answer does not state them. */
  readonly requestBytes: number;
  /** The model server refused it, or was not reached: it used nothing that it does not state. */
  readonly refused: boolean;
}

type Numbers =
  | "tokensIn"
  | "tokensOut"
  | "tokensEmbedded"
  | "embeddingCalls"
  | "embeddedInputs"
  | "embeddingMs"
  | "reusedInputs";

/** Makes entries. */
export class Usages {
  readonly ledger: Ledger;
  readonly quotas: Quotas;
  readonly #now: () => number;

  constructor(ledger: Ledger, quotas: Quotas, now: () => number = Date.now) {
    this.ledger = ledger;
    this.quotas = quotas;
    this.#now = now;
  }

  begin(start: EntryStart): UsageEntry {
    return new UsageEntry(start, this.ledger, this.quotas, this.#now);
  }
}

/** The company a request counts for: the one it names, or the only one of its caller. */
export function companyOfUsage({ companies }: Pick<Caller, "companies">, named: string | undefined): string | null {
  if (named !== undefined) return named;
  const [only, ...others] = companies;
  return only === undefined || only === "*" || others.length > 0 ? null : normalizeName(only);
}

export class UsageEntry implements RequestEndListener {
  readonly caller: string;
  /** The company it counts for; a request for documents names it in its query or body. */
  company: string | null;
  /** As the request names it. */
  model: string | null = null;
  waitMs: number | null = null;
  /** From the arrival to the first byte of the answer. */
  ttftMs: number | null = null;
  readonly #start: EntryStart;
  readonly #ledger: Ledger;
  readonly #quotas: Quotas;
  readonly #now: () => number;
  readonly #counts: Record<Numbers, number> = {
    tokensIn: 0,
    tokensOut: 0,
    tokensEmbedded: 0,
    embeddingCalls: 0,
    embeddedInputs: 0,
    embeddingMs: 0,
    reusedInputs: 0,
  };
  #cached: number | null = null;
  #estimated = false;
  #servedBy: ServedBy | null = null;
  #hold: QuotaHold | undefined;
  #working = 0;
  #end: RequestEnd | undefined;
  #recorded = false;

  constructor(start: EntryStart, ledger: Ledger, quotas: Quotas, now: () => number) {
    this.#start = start;
    this.#ledger = ledger;
    this.#quotas = quotas;
    this.#now = now;
    this.caller = start.caller.name;
    this.company = companyOfUsage(start.caller, start.company);
  }

  /** Counts it against the quotas. @param tokens estimate of what it uses; 0 if not known yet @throws RelayError, a 429 */
  admit(tokens: number): QuotaHold {
    this.#hold = this.#quotas.admit({ caller: this.caller, company: this.company, tokens });
    return this.#hold;
  }

  /** Counts a request for documents, once, for the company that its query or body names. @throws RelayError, a 429 */
  countFor(company: string): void {
    this.company = company;
    if (this.#hold === undefined) this.admit(0);
  }

  /** State of the quotas by minute as OpenAI's headers; undefined without such a quota, or before it was counted. */
  quotaHeaders(): Readonly<Record<string, string>> | undefined {
    return this.#hold?.headers();
  }

  /** Takes over a hold that was admitted before. */
  admitted(hold: QuotaHold): void {
    this.#hold = hold;
  }

  /** Reserves tokens for an embedding model. @throws RelayError, a 429 */
  reserve(tokens: number): void {
    this.#hold?.reserve(tokens);
  }

  /** Work has begun whose usage belongs to it. */
  workBegins(): void {
    this.#working += 1;
  }

  workEnds(): void {
    this.#working -= 1;
    this.#recordIfDone();
  }

  /** Adds what a call to a model server used. */
  used({ by, queue, usage, requestBytes, refused }: CallUsage): void {
    const { prompt, output, cached } = usage;
    const isStated = prompt !== undefined && (queue === "embeddings" || output !== undefined);
    if (refused && prompt === undefined && output === undefined) return;
    // What the Mac had begun in vain is not what the fallback server costs.
    if (by === "fallback") this.#forget();
    this.#servedBy = by;
    if (!isStated) this.#estimated = true;
    const read = prompt ?? promptTokens(requestBytes);
    if (queue === "embeddings") {
      this.#counts.tokensEmbedded += read;
      return;
    }
    this.#counts.tokensIn += read;
    this.#counts.tokensOut += output ?? 0;
    if (cached !== undefined) this.#cached = (this.#cached ?? 0) + Math.min(cached, read);
  }

  /** Adds a call that embedded texts for a document or a search. */
  embedded(tokens: number, inputs: number, ms: number): void {
    this.#servedBy = "model";
    this.#counts.tokensEmbedded += tokens;
    this.#counts.embeddingCalls += 1;
    this.#counts.embeddedInputs += inputs;
    this.#counts.embeddingMs += Math.round(ms);
  }

  /** Adds a call that ranked texts for a search. */
  ranked(tokens: number): void {
    this.#servedBy = "model";
    this.#counts.tokensEmbedded += tokens;
  }

  /** Texts whose vectors were stored already. Without an embedding call, the cache has served it. */
  reused(inputs: number): void {
    this.#servedBy ??= "cache";
    this.#counts.reusedInputs += inputs;
  }

  /** Answered with what was stored. */
  fromCache(): void {
    this.#servedBy ??= "cache";
  }

  /** It gets no row: a list, or a job that was handed in, whose runs have rows. */
  discard(): void {
    this.#recorded = true;
    this.#hold?.settle(0, 0);
  }

  ended(end: RequestEnd): void {
    this.#end = end;
    this.#recordIfDone();
  }

  #recordIfDone(): void {
    if (this.#end === undefined || this.#working > 0 || this.#recorded) return;
    this.#recorded = true;
    const row = this.#rowOf(this.#end);
    this.#hold?.settle(allTokens(row), row.tokensEmbedded);
    this.#ledger.record(row);
  }

  #forget(): void {
    this.#counts.tokensIn = 0;
    this.#counts.tokensOut = 0;
    this.#cached = null;
    this.#estimated = false;
  }

  #rowOf(end: RequestEnd): UsageRow {
    const { kind, dialect, path } = this.#start;
    const counts = this.#counts;
    return {
      at: this.#now(),
      kind,
      caller: this.caller,
      company: this.company,
      dialect,
      path,
      model: this.model,
      tokensIn: counts.tokensIn,
      tokensCached: this.#cached,
      tokensOut: counts.tokensOut,
      tokensEmbedded: counts.tokensEmbedded,
      estimated: this.#estimated,
      servedBy: this.#servedBy,
      status: end.status,
      code: end.code ?? null,
      waitMs: this.waitMs,
      ttftMs: this.ttftMs,
      durationMs: Math.round(end.ms),
      entry: end.entry,
      colo: end.colo,
      counted: this.#hold !== undefined,
      embeddingCalls: counts.embeddingCalls,
      embeddedInputs: counts.embeddedInputs,
      embeddingMs: counts.embeddingMs,
      reusedInputs: counts.reusedInputs,
      sparedMs: counts.reusedInputs === 0 ? 0 : this.#ledger.embeddingMs(counts.reusedInputs),
    };
  }
}
