/** Which networks of `documents.atlas.allowFrom` are declared: entries that exist in the project belong to someone else. */
import type { StackConfig } from "../config/config.ts";
import { kindOf } from "../config/resource-types.ts";
import type { AccessListEntry, AtlasLookups } from "./atlas.ts";
import type { DeployedResource } from "./deployed.ts";
import { describeFailure } from "./lookup-result.ts";

/** Networks of the config, by what happens to them. */
export interface AccessListPlan {
  /** Declared by this stack. */
  readonly declare: readonly string[];
  /** Exist already and are left alone: Atlas's provider would take one over and remove it at `destroy`. */
  readonly keep: readonly AccessListEntry[];
  /** Comments of the entries in the state, by network: changing one would replace the entry. */
  readonly comments: ReadonlyMap<string, string>;
  /** Set when the project's list could not be read; then everything is declared. */
  readonly unread?: string | undefined;
}

/**
 * @param lookups undefined when only the provider can sign in to Atlas
 * @returns what to declare; nothing is asked when every network is in the state already
 */
export async function planAccessList(
  { documents }: Pick<StackConfig, "documents">,
  lookups: Pick<AtlasLookups, "accessList"> | undefined,
  deployed: readonly DeployedResource[],
): Promise<AccessListPlan> {
  const wanted = documents.store === "atlas" ? (documents.atlas?.allowFrom ?? []) : [];
  const comments = new Map(
    deployed
      .filter(({ type }) => kindOf(type) === "accessListEntry")
      .map(({ outputs }) => [String(outputs.cidrBlock), String(outputs.comment ?? "")]),
  );
  const all = { declare: wanted, keep: [], comments };
  if (wanted.every((network) => comments.has(network)) || !documents.atlas) return all;
  if (!lookups) return { ...all, unread: "only the provider can sign in to Atlas" };
  const found = await lookups.accessList(documents.atlas.projectId);
  if (!found.ok) return { ...all, unread: describeFailure(found.failure) };
  const keep = found.value.filter(({ cidrBlock }) => wanted.includes(cidrBlock) && !comments.has(cidrBlock));
  const kept = new Set(keep.map(({ cidrBlock }) => cidrBlock));
  return { declare: wanted.filter((network) => !kept.has(network)), keep, comments };
}

/** @returns lines for a person */
export function accessListText({ keep, unread }: AccessListPlan): string[] {
  return [
    ...keep.map(
      ({ cidrBlock, comment }) =>
        `${cidrBlock} is in the Atlas project's access list already (comment ${JSON.stringify(comment)}): it is used and left alone, also at \`pulumi destroy\``,
    ),
    ...(unread === undefined
      ? []
      : [
          `the Atlas project's access list could not be read (${unread}): an entry of documents.atlas.allowFrom that exists already would become this stack's, and \`pulumi destroy\` would remove it`,
        ]),
  ];
}
