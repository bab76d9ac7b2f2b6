/** Helpers for the rules of the stack's config. */

/** Gives a rule its message: why a value cannot be used and what to do. Used instead of zod's own messages. */
export const withMessage = (text: string) => ({ error: text });

/** Runs a rule over several values even when one of them is invalid, so that all problems show at once. */
export const evenIfInvalid = (payload: { value: unknown }): boolean =>
  typeof payload.value === "object" && payload.value !== null;

/** A name that is part of resource names: of a server or a Mac. */
export const resourceName = /^[a-z][a-z0-9-]{0,40}$/;
