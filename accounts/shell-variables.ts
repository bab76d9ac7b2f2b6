/** Variables of the shell that change who signs in, as the official provider plugins read them. Pure. */
import type { Finding } from "./finding.ts";
import { warn } from "./messages.ts";

/** Looks up a key of the stack's config. */
type ConfigValue = (key: string) => string | undefined;

/** Sets of which only the first that is set counts. Source: terraform-provider-mongodbatlas, internal/config/credentials.go. */
const precedence = [
  ["MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PUBLIC_KEY", "MCLI_PUBLIC_API_KEY"],
  ["MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_PRIVATE_KEY", "MCLI_PRIVATE_API_KEY"],
] as const;

/** They send requests elsewhere, or change them, whatever the stack says. */
const elsewhere = {
  CLOUDFLARE_CUSTOM_HEADERS: "headers",
  MONGODB_ATLAS_IS_MONGODBGOV_CLOUD: "government",
  MCLI_OPS_MANAGER_URL: "opsManager",
} as const;

/** @returns a warning for each variable, or group of them, that a person may not know to be read */
export function shellFindings(config: ConfigValue, environment: NodeJS.ProcessEnv = process.env): Finding[] {
  const isAtlasConfigured = ["publicKey", "privateKey", "accessToken", "clientId"].some((name) =>
    config(`mongodbatlas:${name}`),
  );
  const ignored = isAtlasConfigured ? [] : precedence.flatMap((names) => ignoredFinding(names, environment));
  const others = Object.entries(elsewhere).flatMap(([name, key]) =>
    environment[name] ? [warn("shell.variables", (say) => say.shell[key](name))] : [],
  );
  const token = environment.CLOUDFLARE_API_TOKEN;
  const configured = config("cloudflare:apiToken");
  const hidden =
    token && configured && token !== configured ? [warn("shell.variables", (say) => say.shell.hiddenToken())] : [];
  return [...ignored, ...others, ...hidden];
}

function ignoredFinding(names: readonly string[], environment: NodeJS.ProcessEnv): Finding[] {
  const [used, ...rest] = names.filter((name) => environment[name]);
  const differing = rest.filter((name) => used && environment[name] !== environment[used]);
  if (!used || differing.length === 0) return [];
  return [warn("shell.variables", (say) => say.shell.precedence(used, differing))];
}
