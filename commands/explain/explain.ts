/** From what Pulumi said to what to do: pure. */
import { knownErrors } from "./known-errors.ts";

/** One error in words. */
export interface Explanation {
  readonly id: string;
  readonly says: string;
  readonly todo: string;
}

/**
 * @param diagnostics what was said, one error each (each may have several lines)
 * @returns each known error once, in the order in which they came
 */
export function explain(diagnostics: readonly string[]): Explanation[] {
  const found = new Map<string, Explanation>();
  for (const diagnostic of diagnostics) {
    const text = diagnostic.replace(/\s+/g, " ");
    const matches = knownErrors.flatMap((known) => {
      const match = known.pattern.exec(text);
      return match ? [{ known, match }] : [];
    });
    const particular = matches.filter(({ known }) => !known.general);
    for (const { known, match } of particular.length > 0 ? particular : matches) {
      const says = known.says(match);
      if (!found.has(says)) found.set(says, { id: known.id, says, todo: known.todo(match) });
    }
  }
  return [...found.values()];
}

/** Cuts what `pulumi` printed into its errors; warnings and the program's own words are left out. */
export function errorsIn(text: string): string[] {
  const parts = text.split(
    /(?=^\s*(?:error|warning|info|debug): )|(?=^\s*Diagnostics:)|\n(?=\s*[\w:./-]+ \([\w:/.-]+\):\s*$)/m,
  );
  return parts.filter((part) => /^\s*error: /.test(part));
}

/** For a person; empty when nothing is known. */
export function renderExplanations(explanations: readonly Explanation[]): string {
  if (explanations.length === 0) return "";
  return ["What to do:", ...explanations.flatMap(({ says, todo }) => [`  - ${says}.`, `      → ${todo}`])].join("\n");
}
