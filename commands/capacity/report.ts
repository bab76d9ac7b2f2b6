/** The report as text: the sentence, the table, the advice. Pure. */

import type { Language } from "../language.ts";
import { textWidth } from "../text-width.ts";
import { adviceLines, notes } from "./findings.ts";
import type { Capacity, Part } from "./measure.ts";
import type { Options } from "./options.ts";
import { rounded, sentence } from "./sentence.ts";
import type { Level } from "./stats.ts";

type Words = Pick<Options, "language" | "currency" | "questionsPerHour">;

/** Heads of the table's columns. */
export function heads(language: Language): string[] {
  return language === "ko"
    ? ["동시 요청", "전체 토큰/초", "답당 토큰/초", "첫 글자 p50(초)", "첫 글자 p90(초)", "요청/초", "실패"]
    : ["at once", "tokens/s all", "tokens/s each", "first token p50, s", "first token p90, s", "requests/s", "failed"];
}

const seconds = (ms: number): string => (Number.isFinite(ms) ? (ms / 1000).toFixed(2) : "–");

/** One row of the table. */
export function cells(level: Level): string[] {
  return [
    String(level.atOnce),
    rounded(level.tokensPerSecond),
    rounded(level.perAnswer),
    seconds(level.ttft.p50),
    seconds(level.ttft.p90),
    level.requestsPerSecond.toFixed(2),
    String(level.failed + level.refused),
  ];
}

/** `short`, `long`, or nothing where there is one length only. */
export function titleOf(part: Part, { parts, promptTokens }: Capacity, language: Language): string {
  const index = parts.indexOf(part);
  const name =
    parts.length < 2 ? "" : language === "ko" ? ["짧은 답", "긴 답"][index] : ["Short answers", "Long answers"][index];
  const lengths =
    language === "ko"
      ? `질문 ${promptTokens}토큰, 답 ${part.answerTokens}토큰`
      : `questions of ${promptTokens} tokens, answers of ${part.answerTokens}`;
  return name ? `${name} (${lengths})` : lengths;
}

/** The rows: each level, the knee marked, and the knee with warm prompts. */
export function rows({ sweep: { levels, knee }, warm }: Part, language: Language): { mark: string; cells: string[] }[] {
  const all = levels.map((level) => ({ mark: level === knee ? "◀" : "", cells: cells(level) }));
  const warmWord = language === "ko" ? "캐시됨" : "warm";
  return warm ? [...all, { mark: warmWord, cells: cells(warm) }] : all;
}

/** @returns the whole report */
export function render(capacity: Capacity, words: Words): string {
  const { language, currency, questionsPerHour } = words;
  const lines: string[] = [`${capacity.target.server} (${capacity.target.model}) ${capacity.target.url}`, ""];
  for (const part of capacity.parts) {
    lines.push(titleOf(part, capacity, language), sentence(part.sweep, language), "");
    const table = [{ mark: "", cells: heads(language) }, ...rows(part, language)];
    const widths = heads(language).map((_, i) => Math.max(...table.map((row) => textWidth(row.cells[i] ?? ""))));
    for (const row of table) {
      lines.push(
        `  ${row.cells.map((cell, i) => " ".repeat((widths[i] ?? 0) - textWidth(cell)) + cell).join("  ")}  ${row.mark}`.trimEnd(),
      );
    }
    lines.push("");
  }
  const { deciding } = capacity;
  if (deciding) lines.push(...adviceLines(deciding, currency, questionsPerHour, language));
  const said = notes(capacity, language);
  if (said.length > 0) lines.push("", ...said.map(({ level, text }) => `${level === "warn" ? "!" : "-"} ${text}`));
  return lines.join("\n");
}
