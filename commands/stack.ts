/** What `pulumi config` and `pulumi stack export` print, parsed. */
import { z } from "zod";
import type { Owned } from "../accounts/collisions.ts";
import { typeToken } from "../config/resource-types.ts";

const configSchema = z.record(z.string(), z.object({ value: z.string().optional(), secret: z.boolean() }));

/** A stack's config by full key, as the program gets it: structured values as JSON text. */
export type ConfigText = ReadonlyMap<string, string>;

/** @param json printed by `pulumi config --json` @throws SyntaxError, ZodError */
export function readConfig(json: string): ConfigText {
  const entries = Object.entries(configSchema.parse(JSON.parse(json)));
  return new Map(entries.flatMap(([key, { value }]) => (value === undefined ? [] : [[key, value] as const])));
}

const stateSchema = z.object({
  deployment: z
    .object({
      resources: z
        .array(
          z.object({
            type: z.string(),
            id: z.string().optional(),
            inputs: z.record(z.string(), z.unknown()).default({}),
          }),
        )
        .default([]),
      pending_operations: z.array(z.object({ type: z.string() })).nullish(),
    })
    .nullish(),
});

/** What the state contains. */
export interface Known {
  readonly owned: Owned;
  /** Ids of the state's tunnels. */
  readonly tunnelIds: readonly string[];
  readonly resources: number;
  /** Creations of a run that was killed before it could record them. */
  readonly unfinished: number;
}

/** @param json printed by `pulumi stack export` @throws SyntaxError, ZodError */
export function readState(json: string): Known {
  const { deployment } = stateSchema.parse(JSON.parse(json));
  const resources = deployment?.resources ?? [];
  const owned: Owned = (kind, id) =>
    resources.some(
      (one) => one.type === typeToken(kind) && (kind === "databaseUser" ? one.inputs.username === id : one.id === id),
    );
  const unfinished = (deployment?.pending_operations ?? []).filter(({ type }) => type === "creating").length;
  const tunnelIds = resources.flatMap(({ type, id }) => (type === typeToken("tunnel") && id ? [id] : []));
  return { owned, tunnelIds, resources: resources.length, unfinished };
}
