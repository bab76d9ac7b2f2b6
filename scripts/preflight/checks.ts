/** All checks of a stack, in the order of the steps of `up`; those that need nothing of each other at once. */
import { cloudflareReady } from "../accounts/cloudflare-ready.ts";
import { type Finding, warn } from "../accounts/finding.ts";
import { checkAtlas } from "./atlas.ts";
import { cloudflareMore } from "./cloudflare.ts";
import { checkMac } from "./mac.ts";
import { checkGround, type Ground } from "./pulumi.ts";

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
  const { owned } = known;
  const parts = await Promise.all([
    looked("cloudflare", () => cloudflarePart(ground as Required<Ground>, scope)),
    store === "atlas" && atlas
      ? looked("atlas", () => checkAtlas(atlas, { access: atlasAccess(texts), owned, readOnly: scope.readOnly }))
      : [],
    scope.readOnly || scope.cheap ? [] : looked("mac", () => macPart(config)),
  ]);
  return { stack, findings: [...findings, ...parts.flat()] };
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
  const access = {
    apiToken: texts.get("cloudflare:apiToken") ?? process.env.CLOUDFLARE_API_TOKEN,
    baseUrl: texts.get("cloudflare:baseUrl"),
  };
  const tunnelName = `slm-network-${stack.split("/").at(-1)}`;
  const { findings } = await cloudflareReady({ ...config, tunnelName }, { access, owned: known.owned, readOnly });
  const noToken = findings.some(({ id, level }) => id === "cloudflare.token" && level === "fail");
  if (cheap || noToken) return findings;
  return [...findings, ...(await cloudflareMore(config, access, known.owned))];
}

const atlasAccess = (texts: ReadonlyMap<string, string>) => ({
  publicKey: texts.get("mongodbatlas:publicKey") ?? process.env.MONGODB_ATLAS_PUBLIC_KEY,
  privateKey: texts.get("mongodbatlas:privateKey") ?? process.env.MONGODB_ATLAS_PRIVATE_KEY,
  baseUrl: texts.get("mongodbatlas:baseUrl"),
});

async function macPart({ macs, model, jobs }: Required<Ground>["config"]): Promise<Finding[]> {
  const found = await Promise.all(macs.map((mac) => checkMac({ target: mac, model, jobs })));
  return found.flat();
}
