/**
 * What the state holds of a dynamic provider's own code: Pulumi writes the text of its functions into the property
 * `__provider`, and reads and deletes with that text until the next update. The functions name their module by its path, so a
 * module that moves would break `refresh` and `destroy` of every deployed stack. Therefore a module stays at its old path (as
 * a re-export) for one version after a move, and `diff` reports a changed text, so that an `up` writes the new one.
 */

const key = "__provider";
/** What Pulumi gives a provider in place of a value that is not known in a preview. */
const unknownValue = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const textOf = (properties: object): string | undefined => {
  const value: unknown = (properties as Record<string, unknown>)[key];
  return typeof value === "string" && value !== unknownValue ? value.replace(/\s+/g, " ") : undefined;
};

/** @returns whether the state was written by another text of the provider than the program has now */
export function isOtherProvider(olds: object, news: object): boolean {
  const [before, now] = [textOf(olds), textOf(news)];
  return now !== undefined && before !== now;
}

/** @returns the provider's text alone, for properties that are reported with an error: Pulumi adds it only to results */
export const providerText = (news: object): Record<string, unknown> =>
  key in news ? { [key]: (news as Record<string, unknown>)[key] } : {};

/** @returns whether the value, or any part of it, is not known yet */
export function hasUnknown(value: unknown): boolean {
  if (value === unknownValue) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(hasUnknown);
}
