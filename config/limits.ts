/** The limits as the stack's config writes them: `chat` can also be `auto`, or bounds for it. */
import { z } from "zod";
import { limitsSchema } from "../runtime/limits-config.ts";

/** Bounds of `limits.chat: auto`. The model server must take as many at once as `max`. */
export const AUTO_BOUNDS = { min: 1, max: 8 } as const;

/** Writes `chat: auto` and `chat: { min, max }` as the relay reads them; anything else is left to the schema. */
function expandAuto(limits: unknown): unknown {
  if (typeof limits !== "object" || limits === null) return limits;
  const { chat, ...others } = limits as Record<string, unknown>;
  if (chat === "auto") return { ...others, chat: AUTO_BOUNDS.max, chatAuto: AUTO_BOUNDS };
  if (typeof chat !== "object" || chat === null) return limits;
  const bounds = { ...AUTO_BOUNDS, ...chat };
  return { ...others, chat: bounds.max, chatAuto: bounds };
}

/** `limits` of the stack's config; read, it is what the relay is told. */
export const stackLimitsSchema = z.preprocess(expandAuto, limitsSchema);
