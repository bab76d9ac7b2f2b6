/** The owner's own lengths of prompts and answers, out of the relay's ledger. */
import { z } from "zod";
import { askAdmin, askFromHere } from "../mac-admin.ts";
import { chooseMac, readMacSettings } from "../mac-settings.ts";
import type { Options } from "./options.ts";

/** Fewer answers than this say little about what is usual. */
const ENOUGH = 30;
/** How far back it looks. */
const DAYS = 30;

const quantilesSchema = z.object({ p50: z.int().min(0), p90: z.int().min(0) });
const lengthsSchema = z.object({ calls: z.int(), prompt: quantilesSchema, answer: quantilesSchema }).nullable();

/** Lengths to measure with, and where they are from. */
export interface Shape {
  readonly promptTokens: number;
  readonly answers: readonly number[];
  /** For the report; undefined: the defaults, or given. */
  readonly calls: number | undefined;
}

/**
 * The median prompt, and the median and the 90th percentile of the answers, of the last 30 days. What was given on the command line
 * stays as it was given. Never rejects: without a ledger it is told why, and the defaults are taken.
 * @param usesStack whether the stack's own relay is measured; otherwise only `--admin` names a ledger
 * @param tell told why there are none, or how many answers they are of
 */
export async function usualLengths(
  options: Pick<Options, "promptTokens" | "answers" | "given" | "admin">,
  usesStack: boolean,
  tell: (line: string) => void,
): Promise<Shape> {
  const { promptTokens, answers, given, admin } = options;
  const asGiven: Shape = { promptTokens, answers, calls: undefined };
  if ((given.prompt && given.answers) || (admin === undefined && !usesStack)) return asGiven;
  try {
    const from = new Date(Date.now() - DAYS * 86_400_000).toISOString();
    const path = `/usage/lengths?from=${encodeURIComponent(from)}`;
    const { status, body } = await (admin === undefined ? askStack(path) : askFromHere(new URL(path, admin).href));
    if (status !== 200) throw new Error(status === 404 ? "the relay has no ledger yet" : `it answers ${status}`);
    const lengths = lengthsSchema.parse(JSON.parse(body));
    if (lengths === null || lengths.calls < ENOUGH) {
      tell(`lengths: the ledger has ${lengths?.calls ?? 0} answers of the last ${DAYS} days, too few: defaults`);
      return asGiven;
    }
    const found = shapeOf(lengths, asGiven, given);
    tell(
      `lengths: ${found.promptTokens} and ${found.answers.join(", ")} tokens, by ${lengths.calls} answers of the ledger`,
    );
    return found;
  } catch (error) {
    const why =
      error instanceof z.ZodError ? "another answer than a ledger's" : (error as Error).message.split("\n")[0];
    tell(`lengths: the ledger could not be asked (${why}): defaults`);
    return asGiven;
  }
}

/** @returns the lengths of the ledger where none were given. Pure */
export function shapeOf(
  { calls, prompt, answer }: NonNullable<z.infer<typeof lengthsSchema>>,
  asGiven: Shape,
  given: Options["given"],
): Shape {
  const usual = [...new Set([Math.max(1, answer.p50), Math.max(1, answer.p90)])].sort((a, b) => a - b);
  return {
    promptTokens: given.prompt ? asGiven.promptTokens : Math.max(1, prompt.p50),
    answers: given.answers ? asGiven.answers : usual,
    calls,
  };
}

async function askStack(path: string) {
  const { macs } = await readMacSettings(undefined);
  return askAdmin(chooseMac(macs, macs[0]?.name), path);
}
