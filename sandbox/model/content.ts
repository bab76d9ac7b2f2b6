/** The content of a message, as OpenAI's endpoints take it. */
import { z } from "zod";

const part = z.looseObject({ type: z.string(), text: z.string().optional() });

/** A text, or parts of which the texts count. */
export const contentSchema = z.union([z.string(), z.array(part), z.null()]).optional();

/** The text of a message's content. */
export function textOf(content: z.infer<typeof contentSchema>): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text }) => text ?? "").join("");
}
