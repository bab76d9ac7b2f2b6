/** Validates an answer by the stack config's own schema, so that the message is the one of `pulumi preview`. */
import { ConfigError, parseStackConfig } from "../../config/config.ts";

/** Path of a value in the config: `["macs", 0, "host"]`. */
export type Place = readonly [string, ...(string | number)[]];

/** @returns the problem with `value` at `place` or below, and its fix; undefined when it is valid */
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

/** `slm-network:macs[0].host`, as the messages name it. */
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
