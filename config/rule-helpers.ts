/** What every rule of the stack's config is written with. */

/** Says why a value can not be used and what to do; used by every rule instead of zod's own words. */
export const withMessage = (text: string) => ({ error: text });

/** Rules over several values are asked also when one of the values has a problem of its own, so that all problems show at once. */
export const evenIfInvalid = (payload: { value: unknown }): boolean =>
  typeof payload.value === "object" && payload.value !== null;

/** A name that is part of resource names: of a server or a Mac. */
export const resourceName = /^[a-z][a-z0-9-]{0,40}$/;
