import type { z } from "zod";

/** @returns the JSON text as the schema reads it; undefined when it is missing or something else */
export function parseJson<T>(schema: z.ZodType<T>, text: string | undefined): T | undefined {
  try {
    return schema.parse(JSON.parse(text ?? ""));
  } catch {
    return undefined;
  }
}
