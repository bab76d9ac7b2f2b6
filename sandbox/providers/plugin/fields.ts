/** Tables of a resource's inputs, and the check of a program's inputs against them. */
import { Asset, isProps, type Props, Secret, Unknown, type Value } from "./values.ts";

/** Properties of an input besides its type. */
export interface FieldOptions {
  required?: true;
  /** A change of this (top-level) input replaces the resource; `whole`: not a change of one of its elements. */
  replace?: true | "whole";
  /** The value is a secret even when the program did not mark it. */
  secret?: true;
  /** Set by the API when the program does not: unknown in a preview, and not drift when only the API has it. */
  computed?: true;
  /** The API never returns it: the old value stays. */
  writeOnly?: true;
  /** The order of the list has no meaning. */
  set?: true;
  /** Part of an object that the API fills in by itself: drift when the program sets the object without it. */
  filledIn?: true;
  /** Drift even when the program never set it: an important value that somebody may add by hand. */
  watched?: true;
  /** The only values allowed. */
  values?: readonly (string | number)[];
  /** Set at creation only: a change is an error, not a replacement. */
  createOnly?: true;
  /** Sibling inputs that are required with it. */
  needs?: readonly string[];
  /** Sibling inputs that are forbidden with it. */
  excludes?: readonly string[];
  /** The name on the wire, if not the snake_case of the property's. */
  wire?: string;
}

/** One input: its type and options. */
export interface Field extends FieldOptions {
  kind: "string" | "number" | "boolean" | "asset" | "any" | "list" | "map" | "object";
  item?: Field;
  fields?: Fields;
  /** Names inside are camelCase on the wire too. */
  camel?: true;
}
export type Fields = Readonly<Record<string, Field>>;

export const string = (options: FieldOptions = {}): Field => ({ kind: "string", ...options });
export const number = (options: FieldOptions = {}): Field => ({ kind: "number", ...options });
export const boolean = (options: FieldOptions = {}): Field => ({ kind: "boolean", ...options });
/** A file or text asset, or an archive. */
export const asset = (options: FieldOptions = {}): Field => ({ kind: "asset", ...options });
export const any = (options: FieldOptions = {}): Field => ({ kind: "any", ...options });
export const list = (item: Field, options: FieldOptions = {}): Field => ({ kind: "list", item, ...options });
/** Keys are the program's and sent unchanged. */
export const map = (item: Field, options: FieldOptions = {}): Field => ({ kind: "map", item, ...options });
export const object = (fields: Fields, options: FieldOptions & { camel?: true } = {}): Field => ({
  kind: "object",
  fields,
  ...options,
});

/** A refused input, as a `CheckFailure`. */
export interface Failure {
  /** Property path, e.g. `config.ingresses[0].service`. */
  property: string;
  reason: string;
}

function describe(value: Value): string {
  if (value instanceof Asset) return `an ${value.kind}`;
  if (Array.isArray(value)) return "a list";
  if (value === null) return "null";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

const expectations: Record<Field["kind"], string> = {
  string: "a string",
  number: "a number",
  boolean: "a boolean",
  asset: "an asset or archive",
  any: "a value",
  list: "a list",
  map: "an object",
  object: "an object",
};

function checkValue(field: Field, given: Value, path: string, secret: boolean): Failure[] {
  const value = given instanceof Secret ? given.value : given;
  const hidden = secret || given instanceof Secret || field.secret === true;
  if (value instanceof Unknown) return [];
  const wrong = (): Failure[] => [
    {
      property: path,
      reason: `expected ${expectations[field.kind]}, got ${describe(value)}: give ${expectations[field.kind]}`,
    },
  ];
  switch (field.kind) {
    case "any":
      return [];
    case "asset":
      return value instanceof Asset ? [] : wrong();
    case "list":
      if (!Array.isArray(value)) return wrong();
      return value.flatMap((item, i) => (field.item ? checkValue(field.item, item, `${path}[${i}]`, hidden) : []));
    case "map":
      if (!isProps(value)) return wrong();
      return Object.entries(value).flatMap(([key, item]) =>
        field.item && item !== undefined ? checkValue(field.item, item, join(path, key), hidden) : [],
      );
    case "object":
      return isProps(value) ? check(field.fields ?? {}, value, path, hidden) : wrong();
    case "string":
    case "number":
    case "boolean": {
      if (typeof value !== field.kind) return wrong();
      if (field.values && !field.values.some((allowed) => allowed === value)) {
        const shown = hidden ? "the secret value" : JSON.stringify(value);
        return [{ property: path, reason: `${shown} is not one of ${field.values.join(", ")}` }];
      }
      return [];
    }
  }
}

/** The checks of a given input against its siblings. */
function checkOthers(field: Field, props: Props, path: string, at: (key: string) => string): Failure[] {
  const isGiven = (key: string) => (props[key] ?? null) !== null;
  const absent = field.needs?.filter((key) => !isGiven(key)) ?? [];
  const present = field.excludes?.filter(isGiven) ?? [];
  return [
    ...absent.map((key) => ({ property: path, reason: `${at(key)} must be given with it: give both or neither` })),
    ...present.map((key) => ({ property: path, reason: `${at(key)} is given, too, and they exclude each other` })),
  ];
}

/** One step of a property path; keys that are not identifiers are quoted as in Pulumi's paths. */
export function join(path: string, key: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** Every unknown, missing or mistyped input, at any depth; unknown values pass. */
export function check(fields: Fields, props: Props, path = "", secret = false): Failure[] {
  const failures: Failure[] = [];
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("__")) continue; // the engine's own, e.g. __defaults
    const field = fields[key];
    if (!field) {
      const known = Object.keys(fields).sort().join(", ");
      failures.push({ property: join(path, key), reason: `there is no such input; known are: ${known}` });
    } else if (value !== undefined && value !== null) {
      failures.push(...checkValue(field, value, join(path, key), secret));
      failures.push(...checkOthers(field, props, join(path, key), (other) => join(path, other)));
    }
  }
  for (const [key, field] of Object.entries(fields)) {
    if (field.required && (props[key] ?? null) === null) {
      failures.push({ property: join(path, key), reason: "this input is required and has no value: set it" });
    }
  }
  return failures;
}
