/** Values that a JSON schema allows, for answers in a format and arguments of tools. Pure. */
import { z } from "zod";

const schema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  enum: z.array(z.unknown()).optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  items: z.unknown().optional(),
  anyOf: z.array(z.unknown()).optional(),
});

/**
 * @param of a schema, or anything else for an object without rules
 * @param text for every string in it
 * @returns a value of the schema, as JSON; the same for the same arguments
 */
export const instanceOf = (of: unknown, text: string): string => JSON.stringify(makeValue(of, text));

function makeValue(of: unknown, text: string): unknown {
  const read = schema.safeParse(of);
  if (!read.success) return { text };
  const { type, enum: values, properties, items, anyOf } = read.data;
  if (values !== undefined) return values[0];
  if (anyOf?.[0] !== undefined) return makeValue(anyOf[0], text);
  const make = BY_TYPE[(Array.isArray(type) ? type[0] : type) ?? "object"] ?? BY_TYPE.object!;
  return make(text, { properties, items });
}

const BY_TYPE: Readonly<
  Record<string, (text: string, of: Pick<z.infer<typeof schema>, "properties" | "items">) => unknown>
> = {
  string: (text) => text,
  integer: (text) => text.length,
  number: (text) => text.length,
  boolean: () => true,
  null: () => null,
  array: (text, { items }) => (items === undefined ? [] : [makeValue(items, text)]),
  object: (text, { properties }) =>
    Object.fromEntries(Object.entries(properties ?? {}).map(([name, value]) => [name, makeValue(value, text)])),
};
