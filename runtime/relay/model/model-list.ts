/** Lists of models: only those that callers may use. */
import { z } from "zod";
import type { ModelConfig } from "../../model-config.ts";
import { isCloudModel, modelServer } from "../../model-servers.ts";
import type { ModelRoute } from "../dialects/dialect.ts";
import { RelayError } from "../errors.ts";
import type { Replacement, Rewrite } from "../http/answer-rewriter.ts";

/** Longest list that is filtered, in bytes: thousands of models. */
const LONGEST_LIST = 2 * 1024 * 1024;

const row = z.looseObject({
  id: z.string().optional(),
  name: z.string().optional(),
  model: z.string().optional(),
  remote_host: z.string().optional(),
});
const listSchema = z.looseObject({ data: z.array(row).optional(), models: z.array(row).optional() });

type Row = z.infer<typeof row>;

/** Removes models that callers may not use from the answer; passes a list without such models byte for byte. */
export function listRule(
  status: number,
  { listsModels }: Pick<ModelRoute, "listsModels">,
  { kind, allowed }: Pick<ModelConfig, "kind" | "allowed">,
  refuse: (error: RelayError) => Replacement,
): Rewrite | undefined {
  if (!listsModels || status !== 200) return undefined;
  const server = modelServer(kind);
  const { hasCloudModels } = server;
  if (allowed === undefined && !hasCloudModels) return undefined;
  const full = (name: string) => server.fullName(name);
  const names = allowed?.map(full);
  const isServed = ({ id, name, model, remote_host }: Row): boolean => {
    const called = name ?? model ?? id ?? "";
    if (names !== undefined) return names.includes(full(called));
    return !hasCloudModels || (!isCloudModel(called) && !remote_host);
  };
  // Without `allowed` there is nothing to hide in what is no list.
  const unreadable = () =>
    names && refuse(new RelayError("model_broke_off", "The model server's list of models cannot be read."));
  return {
    kind: "whole",
    longest: LONGEST_LIST,
    replace(body) {
      let value: unknown;
      try {
        value = JSON.parse(body.toString("utf8"));
      } catch {
        return unreadable();
      }
      const { data: list } = listSchema.safeParse(value);
      if (list === undefined) return unreadable();
      const rows = [...(list.data ?? []), ...(list.models ?? [])];
      if (rows.every(isServed)) return undefined;
      const shorter = {
        ...list,
        ...(list.data && { data: list.data.filter(isServed) }),
        ...(list.models && { models: list.models.filter(isServed) }),
      };
      const text = Buffer.from(JSON.stringify(shorter));
      const headers = { "content-type": "application/json", "content-length": String(text.length) };
      return { status, headers, body: text };
    },
    tooLong: unreadable,
  };
}
