/** Checks an answer by the stack config's own schema, so that it is refused in the same words that `pulumi preview` uses. */
import { ConfigError, parseStackConfig } from "../../config/config.ts";

/** Where a value stands in the config: `["macs", 0, "host"]`. */
export type Place = readonly [string, ...(string | number)[]];

/** @returns what is wrong with `value` at `place` or below, and what to do; undefined when nothing is */
export function faultAt(place: Place, value: unknown): string | undefined {
  try {
    parseStackConfig(asTree(place, value) as Record<string, unknown>);
    return undefined;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const name = nameOf(place);
    const fault = error.problems.find((one) => one.startsWith(name) && /^[:.[]/.test(one.slice(name.length)));
    return fault?.replace("slm-network:", "");
  }
}

/** `slm-network:macs[0].host`, as the faults name it. */
function nameOf([key, ...rest]: Place): string {
  return rest.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}.${part}`),
    `slm-network:${key}`,
  );
}

function asTree(place: readonly (string | number)[], value: unknown): unknown {
  const [first, ...rest] = place;
  if (first === undefined) return value;
  const inner = asTree(rest, value);
  return typeof first === "number" ? [inner] : { [first]: inner };
}
