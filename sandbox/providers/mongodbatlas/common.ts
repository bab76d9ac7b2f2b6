/** Shared by Atlas' resources: paths, ids, states, time limits. */

import type { Found } from "../plugin/definition.ts";
import type { Fields } from "../plugin/fields.ts";
import { isProps, type Props, type Value } from "../plugin/values.ts";
import { importedInputs, project, refreshedInputs } from "../plugin/wire.ts";
import { durationMs } from "./client.ts";

/** Escaped path segments, each with its slash. */
export const path = (...segments: (Value | undefined)[]) =>
  segments.map((part) => `/${encodeURIComponent(String(part ?? ""))}`).join("");
/** A path below the project of the properties. */
export const group = (props: Props, ...rest: (Value | undefined)[]) => `/groups${path(props.projectId, ...rest)}`;
/** The requested inputs, the API's values for the rest, and the old values of what it never returns. */
export function stateOf(
  fields: Fields,
  asked: Props,
  actual: Props,
  outputs: readonly string[],
  refreshing: boolean,
): Props {
  const state: Props = {};
  for (const [name, field] of Object.entries(fields)) {
    const wanted = asked[name];
    if (wanted === undefined || wanted === null) state[name] = actual[name];
    else if (field.writeOnly) state[name] = wanted;
    else state[name] = project(field, wanted, actual[name]) ?? (refreshing ? undefined : wanted);
  }
  for (const name of outputs) state[name] = actual[name];
  return state;
}

/** The result of `read`; `asked` is undefined when importing. */
export function found(
  fields: Fields,
  id: string,
  asked: Props | undefined,
  actual: Props,
  outputs: readonly string[],
): Found {
  const inputs = asked ? refreshedInputs(fields, asked, actual) : importedInputs(fields, actual);
  return { id, inputs, state: stateOf(fields, asked ?? inputs, actual, outputs, true) };
}

/** The timeout a program gave, else `standard`, in milliseconds. */
export function timeout(props: Props, name: string, standard: string): number {
  const given = isProps(props.timeouts) ? props.timeouts[name] : undefined;
  return durationMs(typeof given === "string" ? given : standard);
}
