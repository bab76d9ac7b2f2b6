/**
 * What a rule may look at. In the preview of a new resource some values are not known yet, and @pulumi/policy throws when a
 * rule touches one; the whole rule would then only warn, in the very pull request it is for. So every value is read through
 * here, and "not known" is an answer that each rule must have a reply to.
 */

/** Stands for a value that is known only once the resource is there. */
export const unknownValue: unique symbol = Symbol("not known in this preview");

/** The part of a resource that the rules inspect. */
export interface InspectedResource {
  readonly type: string;
  readonly name: string;
  readonly urn: string;
  readonly props: Readonly<Record<string, unknown>>;
  readonly protect: boolean;
}

/** Reports a violation. */
export type Report = (message: string, urn?: string) => void;

/** @returns the value at a path, `undefined` when there is none, `unknown` when it is not known yet */
export function valueAt(props: unknown, ...path: (string | number)[]): unknown {
  let value = props;
  for (const key of path) {
    if (value === unknownValue) return unknownValue;
    if (typeof value !== "object" || value === null) return undefined;
    try {
      value = (value as Record<string | number, unknown>)[key];
    } catch (error) {
      if (isUnknownValue(error)) return unknownValue;
      throw error;
    }
  }
  return value;
}

/** @returns the entries of a list, each by itself known or not; `unknown` when not even their number is known */
export function listAt(props: unknown, ...path: (string | number)[]): unknown[] | typeof unknownValue {
  const list = valueAt(props, ...path);
  if (list === unknownValue) return unknownValue;
  if (!Array.isArray(list)) return [];
  return Array.from({ length: list.length }, (_, index) => valueAt(list, index));
}

// The class is not exported; its message is what a person would see.
const isUnknownValue = (error: unknown): boolean =>
  error instanceof Error && /can't be known during preview$/.test(error.message);
