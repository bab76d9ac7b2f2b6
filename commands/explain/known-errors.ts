/**
 * Errors of the providers, the engine and SSH with known fixes. Pulumi prints their raw text and offers no hook to add to it,
 * so its output is matched afterwards. A new error goes into the file of whoever prints it.
 */
import type { KnownError } from "./known-error.ts";
import { atlasErrors } from "./known-errors/atlas.ts";
import { cloudflareErrors } from "./known-errors/cloudflare.ts";
import { macErrors } from "./known-errors/mac.ts";
import { providerErrors } from "./known-errors/provider.ts";
import { pulumiErrors } from "./known-errors/pulumi.ts";

/** Order does not matter: every match is shown. */
export const knownErrors: readonly KnownError[] = [
  ...cloudflareErrors,
  ...atlasErrors,
  ...providerErrors,
  ...macErrors,
  ...pulumiErrors,
];
