/** All checks of a stack, in the order of the steps of `up`; those that need nothing of each other at once. */
import { cloudflareReadiness } from "../../accounts/cloudflare-readiness.ts";
import { atlasSource, cloudflareAccess, signsInByGlobalKey } from "../../accounts/credentials.ts";
import { type Finding, warn } from "../../accounts/finding.ts";
import { shellFindings } from "../../accounts/shell-variables.ts";
import { type AtlasWanted, checkAtlas } from "./atlas.ts";
import { cloudflareMore } from "./cloudflare.ts";
import { checkMac } from "./mac.ts";
import { muteFindings } from "./mute.ts";
import { checkGround, type Ground } from "./prerequisites.ts";

/** What to look at. */
export interface Scope {
  /** The checkout. */
  readonly project: string;
  readonly stack: string | undefined;
  /** Only what a preview needs. */
  readonly readOnly: boolean;
  /** Leaves out what takes long: the Mac, and what only disappoints. */
  readonly cheap: boolean;
}

/** @returns everything that was found, and the stack's name when it is known */
export async function allFindings(scope: Scope): Promise<{ stack: string | undefined; findings: Finding[] }> {
  const ground = await checkGround(scope.project, scope.stack);
  const { stack, findings, config, texts, known } = ground;
  if (!config || !texts || !known) {
    const todo = "Mend what is said above, and run it again";
    const rest = warn(
      "accounts",
      "the accounts and the Mac were not looked at: the stack's config has to be read first",
      todo,
    );
    return { stack, findings: [...findings, rest] };
  }
  const { store, atlas } = config.documents;
  const parts = await Promise.all([
    looked("cloudflare", () => cloudflarePart(ground as Required<Ground>, scope)),
    store === "atlas" && atlas
      ? looked("atlas", () => atlasPart(atlas, ground as Required<Ground>, scope.readOnly))
      : [],
    scope.readOnly ? [] : looked("mac", () => (scope.cheap ? muteFindings(config.macs) : macPart(config))),
  ]);
  return { stack, findings: [...findings, ...shellFindings((key) => texts.get(key)), ...parts.flat()] };
}

/** A part that breaks does not take the others' findings with it. */
async function looked(id: string, check: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await check();
  } catch (error) {
    const says = `the check of ${id} broke: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    return [warn(id, says, "Run it again; if it breaks again, that is a fault of preflight")];
  }
}

async function cloudflarePart(
  { config, texts, known, stack }: Required<Ground>,
  { readOnly, cheap }: Scope,
): Promise<Finding[]> {
  const access = cloudflareAccess((key) => texts.get(key));
  if (signsInByGlobalKey(access)) {
    const says = `the provider signs in to Cloudflare by ${access.beside?.join(" and ")}, which this check cannot: the account was not looked at`;
    return [warn("cloudflare.token", says, "An API token can do less harm: export CLOUDFLARE_API_TOKEN=…")];
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
  { texts, known }: Required<Ground>,
  readOnly: boolean,
): Promise<Finding[]> {
  const { access, findings, usable } = atlasSource((key) => texts.get(key));
  if (!usable) return [...findings];
  return [...findings, ...(await checkAtlas(wanted, { access, owned: known.owned, readOnly }))];
}

async function macPart({ macs, model, modelKey, jobs }: Required<Ground>["config"]): Promise<Finding[]> {
  const found = await Promise.all(macs.map((mac) => checkMac({ target: mac, model, modelKey, jobs })));
  return found.flat();
}
