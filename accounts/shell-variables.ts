/** Variables of the shell that change who signs in, as the official provider plugins read them. Pure. */
import { type Finding, warn } from "./finding.ts";

/** Looks up a key of the stack's config. */
type ConfigValue = (key: string) => string | undefined;

/** Sets of which only the first that is set counts. Source: terraform-provider-mongodbatlas, internal/config/credentials.go. */
const precedence = [
  ["MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PUBLIC_KEY", "MCLI_PUBLIC_API_KEY"],
  ["MONGODB_ATLAS_PRIVATE_API_KEY", "MONGODB_ATLAS_PRIVATE_KEY", "MCLI_PRIVATE_API_KEY"],
] as const;

/** They send requests elsewhere, or change them, whatever the stack says. */
const elsewhere: Readonly<Record<string, string>> = {
  CLOUDFLARE_CUSTOM_HEADERS: "is sent with every call to Cloudflare",
  MONGODB_ATLAS_IS_MONGODBGOV_CLOUD: "sends every call to Atlas for Government",
  MCLI_OPS_MANAGER_URL: "is the base URL of Atlas, when MONGODB_ATLAS_BASE_URL is not set",
};

const todo = (names: readonly string[]) => `unset ${names.join(" ")}, unless that is meant`;

/** @returns a warning for each variable, or group of them, that a person may not know to be read */
export function shellFindings(config: ConfigValue, environment: NodeJS.ProcessEnv = process.env): Finding[] {
  const isAtlasConfigured = ["publicKey", "privateKey", "accessToken", "clientId"].some((name) =>
    config(`mongodbatlas:${name}`),
  );
  const ignored = isAtlasConfigured ? [] : precedence.flatMap((names) => ignoredFinding(names, environment));
  const others = Object.entries(elsewhere).flatMap(([name, how]) =>
    environment[name] ? [warn("shell.variables", `${name} is set in this shell: it ${how}`, todo([name]))] : [],
  );
  const token = environment.CLOUDFLARE_API_TOKEN;
  const configured = config("cloudflare:apiToken");
  const hidden =
    token && configured && token !== configured
      ? [
          warn(
            "shell.variables",
            "CLOUDFLARE_API_TOKEN is set in this shell and ignored: cloudflare:apiToken of the stack's config comes first",
            todo(["CLOUDFLARE_API_TOKEN"]),
          ),
        ]
      : [];
  return [...ignored, ...others, ...hidden];
}

function ignoredFinding(names: readonly string[], environment: NodeJS.ProcessEnv): Finding[] {
  const [used, ...rest] = names.filter((name) => environment[name]);
  const differing = rest.filter((name) => used && environment[name] !== environment[used]);
  if (!used || differing.length === 0) return [];
  return [
    warn(
      "shell.variables",
      `${used} comes before ${differing.join(" and ")}, which has another value: Atlas is asked with the first`,
      todo([used]),
    ),
  ];
}
