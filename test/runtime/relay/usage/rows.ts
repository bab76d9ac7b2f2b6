/** Rows of the ledger for tests. */
import type { UsageKind, UsageRow } from "../../../../runtime/relay/usage/row.ts";

/** 28 November 2026, noon in Seoul. */
export const NOON = Date.parse("2026-11-28T12:00:00+09:00");

export function row(values: Partial<UsageRow> = {}): UsageRow {
  return {
    at: NOON,
    kind: "call",
    caller: "shop",
    company: "국민",
    dialect: "openai",
    path: "/v1/chat/completions",
    model: "qwen",
    tokensIn: 10,
    tokensCached: null,
    tokensOut: 5,
    tokensEmbedded: 0,
    estimated: false,
    servedBy: "model",
    status: 200,
    code: null,
    waitMs: 3,
    ttftMs: 40,
    durationMs: 200,
    entry: "edge",
    colo: "ICN",
    counted: true,
    embeddingCalls: 0,
    embeddedInputs: 0,
    embeddingMs: 0,
    reusedInputs: 0,
    sparedMs: 0,
    ...values,
  };
}

/** Pseudo-random numbers from 0 to 1, the same for a seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const KINDS: readonly UsageKind[] = ["call", "job", "document", "search", "lookup"];

/** Rows of every kind between two times. */
export function randomRows(count: number, from: number, to: number, seed: number): UsageRow[] {
  const next = random(seed);
  const int = (below: number) => Math.floor(next() * below);
  const pick = <T>(of: readonly T[]): T => of[int(of.length)]!;
  return Array.from({ length: count }, () =>
    row({
      at: from + int(to - from),
      kind: pick(KINDS),
      caller: pick(["shop", "bank", "clinic"]),
      company: pick([null, "국민", "삼성", "LG"]),
      model: pick([null, "qwen", "gemma", "bge-m3"]),
      tokensIn: int(5000),
      tokensCached: pick([null, int(100)]),
      tokensOut: int(900),
      tokensEmbedded: pick([0, int(4000)]),
      servedBy: pick([null, "model", "fallback", "cache"] as const),
      status: pick([200, 200, 200, 201, 404, 429, 499, 502]),
      code: pick([null, null, "model_broke_off"]),
      waitMs: pick([null, int(70_000)]),
      ttftMs: pick([null, int(9000)]),
      durationMs: int(100_000),
      colo: pick(["ICN", "NRT", "direct", null]),
      counted: next() < 0.8,
      embeddingCalls: int(3),
      embeddedInputs: int(60),
      embeddingMs: int(3000),
      reusedInputs: int(60),
      sparedMs: int(3000),
    }),
  );
}
