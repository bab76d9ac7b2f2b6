/** The provider's own configuration. Stack configuration holds only strings, so other types are JSON in a string. */
import { check, type Failure, type Field, type Fields } from "./fields.ts";
import { type Props, reveal, type Value } from "./values.ts";

/** Keys that the engine adds to every provider's inputs. */
const engineKeys = new Set(["version", "pluginDownloadURL"]);

function parse(field: Field | undefined, value: Value): Value {
  if (!field || field.kind === "string" || typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value; // the check reports the wrong type
  }
}

/**
 * Parses the configuration. @param more checks beyond the field table @returns the configuration without secret marks, and
 * all problems: unknown keys, wrong types, missing values.
 */
export function parseConfig(
  fields: Fields,
  given: Props,
  more: (config: Props) => Failure[] = () => [],
): { config: Props; failures: Failure[] } {
  const config: Props = {};
  for (const [key, value] of Object.entries(reveal(given))) {
    if (value !== undefined && !engineKeys.has(key)) config[key] = parse(fields[key], value);
  }
  return { config, failures: [...check(fields, config), ...more(config)] };
}
