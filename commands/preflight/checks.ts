/** All checks of a stack, in the order of the steps of `up`; independent ones at the same time. */
import { cloudflareReadiness } from "../../accounts/cloudflare-readiness.ts";
import { atlasSource, cloudflareAccess, signsInByGlobalKey } from "../../accounts/credentials.ts";
import type { Finding } from "../../accounts/finding.ts";
import { shellFindings } from "../../accounts/shell-variables.ts";
import { type AtlasWanted, checkAtlas } from "./atlas.ts";
import { cloudflareMore } from "./cloudflare.ts";
import { checkMac } from "./mac.ts";
import { warn } from "./messages.ts";
import { muteFindings } from "./mute.ts";
import { checkPrerequisites, type Prerequisites } from "./prerequisites.ts";

/** What to check. */
export interface Scope {
  readonly stack: string | undefined;
  /** Only what a preview needs. */
  readonly readOnly: boolean;
  /** Leaves out what takes long: the Mac, and what only causes a warning. */
  readonly cheap: boolean;
}

/** @returns all findings, and the stack's name when it is known */
export async function allFindings(scope: Scope): Promise<{ stack: string | undefined; findings: Finding[] }> {
  const ground = await checkPrerequisites(scope.stack);
  const { stack, findings, config, texts, known } = ground;
  if (!config || !texts || !known) {
    const rest = warn("accounts", (say) => say.noConfig());
    return { stack, findings: [...findings, rest] };
  }
  const { store, atlas } = config.documents;
  const parts = await Promise.all([
    guarded("cloudflare", () => cloudflarePart(ground as Required<Prerequisites>, scope)),
    store === "atlas" && atlas
      ? guarded("atlas", () => atlasPart(atlas, ground as Required<Prerequisites>, scope.readOnly))
      : [],
    scope.readOnly ? [] : guarded("mac", () => (scope.cheap ? muteFindings(config.macs) : macPart(config))),
  ]);
  return { stack, findings: [...findings, ...shellFindings((key) => texts.get(key)), ...parts.flat()] };
}

/** A part that throws does not take the others' findings with it. */
async function guarded(id: string, check: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return [warn(id, (say) => say.unexpected(id, text))];
  }
}

async function cloudflarePart(
  { config, texts, known, stack }: Required<Prerequisites>,
  { readOnly, cheap }: Scope,
): Promise<Finding[]> {
  const access = cloudflareAccess((key) => texts.get(key));
  if (signsInByGlobalKey(access)) {
    const names = access.beside ?? [];
    return [warn("cloudflare.token", (say) => say.globalKey(names))];
  }
  const tunnelName = `slm-network-${stack.split("/").at(-1)}`;
  const { findings } = await cloudflareReadiness(
    { ...config, tunnelName },
    { access, owned: known.owned, tunnelIds: known.tunnelIds, readOnly },
  );
  const noToken = findings.some(({ id, level }) => id === "cloudflare.token" && level === "fail");
  if (cheap || noToken) return findings;
  return [...findings, ...(await cloudflareMore(config, access, known.owned))];
}

async function atlasPart(
  wanted: AtlasWanted,
  { texts, known }: Required<Prerequisites>,
  readOnly: boolean,
): Promise<Finding[]> {
  const { access, findings, usable } = atlasSource((key) => texts.get(key));
  if (!usable) return [...findings];
  return [...findings, ...(await checkAtlas(wanted, { access, owned: known.owned, readOnly }))];
}

async function macPart({ macs, model, modelKey, jobs }: Required<Prerequisites>["config"]): Promise<Finding[]> {
  const found = await Promise.all(macs.map((mac) => checkMac({ target: mac, model, modelKey, jobs })));
  return found.flat();
}
