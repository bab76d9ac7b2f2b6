/** Base URLs as people write them: with or without slashes at their end. */

/** A URL or path without slashes at its end; what comes after it begins with one. */
export const withoutSlash = (url: string): string => url.replace(/\/+$/, "");
