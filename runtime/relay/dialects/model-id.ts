/** The model's name in a path such as `/v1/models/{id}`. Pure. */

/** Longest name in a path, in characters as received. */
const LONGEST = 1024;

/**
 * Matches a path whose end, after `prefix`, names a model: with `:`, `@`, `/` or letters of any language, as they are or
 * percent-encoded. Not one that would lead elsewhere once the model server has decoded and cleaned it: with a part of only
 * dots, a backslash, a control character, or an encoding within the encoding.
 */
export const modelIdPath = (prefix: string): { test(path: string): boolean } => ({
  test(path) {
    if (!path.startsWith(prefix) || path.length <= prefix.length || path.length > LONGEST) return false;
    const name = decoded(path.slice(prefix.length));
    if (name === undefined || /[\p{Cc}\ufffd\\?#]|%[0-9a-f]{2}/iu.test(name)) return false;
    return !name.split("/").some((part) => /^\.+$/.test(part));
  },
});

/** @param text as Node reads a path: a character for each byte. @returns undefined for what is not UTF-8 */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(Buffer.from(text, "latin1").toString("utf8"));
  } catch {
    return undefined;
  }
}
