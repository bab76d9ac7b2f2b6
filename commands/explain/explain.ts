/** From what Pulumi printed to explanations: pure functions. */
import { knownErrors } from "./known-errors.ts";

/** One error, explained. */
export interface Explanation {
  readonly id: string;
  readonly says: string;
  readonly todo: string;
}

/**
 * @param diagnostics one error each, possibly of several lines
 * @returns each known error once, in order of appearance
 */
export function explain(diagnostics: readonly string[]): Explanation[] {
  const found = new Map<string, Explanation>();
  for (const diagnostic of diagnostics) {
    const line = diagnostic.replace(/\s+/g, " ");
    const matches = knownErrors.flatMap((known) => {
      const match = known.pattern.exec(line);
      return match ? [{ known, match }] : [];
    });
    const specific = matches.filter(({ known }) => !known.general);
    for (const { known, match } of specific.length > 0 ? specific : matches) {
      const says = known.says(match);
      if (!found.has(says)) found.set(says, { id: known.id, says, todo: known.todo(match) });
    }
  }
  return [...found.values()];
}

/** @returns the errors in the output of `pulumi`, without warnings and the program's own lines */
export function errorsIn(text: string): string[] {
  const parts = text.split(
    /(?=^\s*(?:error|warning|info|debug): )|(?=^\s*Diagnostics:)|\n(?=\s*[\w:./-]+ \([\w:/.-]+\):\s*$)/m,
  );
  return parts.filter((part) => /^\s*error: /.test(part));
}

/** As text; empty when there is no known error. */
export function renderExplanations(explanations: readonly Explanation[]): string {
  if (explanations.length === 0) return "";
  return ["What to do:", ...explanations.flatMap(({ says, todo }) => [`  - ${says}.`, `      → ${todo}`])].join("\n");
}
