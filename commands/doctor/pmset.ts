/** Output of `pmset -g custom`. */

/**
 * @param source heading of a power source
 * @returns its settings by name. A name may contain spaces (`Sleep On Power Button 1`), a value may be followed by a note.
 */
export function readPmset(text: string, source = "AC Power"): Map<string, string> {
  const settings = new Map<string, string>();
  let inSource = false;
  for (const line of text.split("\n")) {
    if (/^\S.*:\s*$/.test(line)) inSource = line.trim() === `${source}:`;
    const [, name, value] = /^\s+(\S.*?)\s+(\S+)(?:\s+\(.*\))?\s*$/.exec(line) ?? [];
    if (inSource && name !== undefined && value !== undefined) settings.set(name, value);
  }
  return settings;
}
