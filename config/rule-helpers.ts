/** Helpers for the rules of the stack's config. */

/** Gives a rule its message: why a value cannot be used and what to do. Used instead of zod's own messages. */
export const withMessage = (text: string) => ({ error: text });

/**
 * Runs a rule over several values of an object even when one of them is invalid, so that all problems show at once. So the
 * rule must expect any value in any member.
 */
export const evenIfInvalid = (payload: { value: unknown }): boolean =>
  typeof payload.value === "object" && payload.value !== null && !Array.isArray(payload.value);

/** The same for a rule over the entries of a list, each of which can be any value. */
export const evenIfEntriesInvalid = (payload: { value: unknown }): boolean => Array.isArray(payload.value);

/** How many entries a list has; 0 for what is none. */
export const lengthOf = (list: unknown): number => (Array.isArray(list) ? list.length : 0);

/**
 * @returns why a text cannot stand in a launchd plist; undefined if it can. XML 1.0 has no other control characters, reads a
 * carriage return as a line feed (XML 1.1 also U+0085 and U+2028), and has no half characters. Source: https://www.w3.org/TR/xml/#charsets
 */
export function plistProblem(text: string): string | undefined {
  if (!text.isWellFormed()) return "contains half a character (a lone surrogate): correct the text";
  return NOT_IN_XML.test(text)
    ? "contains a control character, which a launchd plist cannot carry: remove it (tabs and line feeds are possible)"
    : undefined;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to refuse
const NOT_IN_XML = /[\u0000-\u0008\u000b-\u001f\u007f\u0085\u2028\ufffe\uffff]/;

/** A DNS name or an IP address; nothing that ssh would take for an option, expand (`%`) or split. */
export const hostName = /^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$/;

/** An account for SSH: nothing that a program would take for an option, and nothing that a shell splits or expands. */
export const loginName = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}$/;

/** A name that is part of resource names: of a server or a Mac. */
export const resourceName = /^[a-z][a-z0-9-]{0,40}$/;
