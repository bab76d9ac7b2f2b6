/** Errors of the Pulumi engine, and of the network. */
import type { KnownError } from "../known-error.ts";

export const pulumiErrors: readonly KnownError[] = [
  {
    id: "pulumi.passphrase",
    pattern: /incorrect passphrase|passphrase must be set/,
    says: () => "the stack's passphrase is not set, or it is the wrong one",
    todo: () =>
      "Put PULUMI_CONFIG_PASSPHRASE=… into .env (or PULUMI_CONFIG_PASSPHRASE_FILE): the one that the stack was created with",
  },
  {
    id: "pulumi.locked",
    pattern: /currently locked by \d+ lock|\[409\] Conflict: Another update is currently in progress/,
    says: () => "another run is using the stack, or a run was killed",
    todo: () => "Make sure that nobody else is deploying; then `pulumi cancel`, `npm run recover`, and run it again",
  },
  {
    id: "pulumi.pending",
    pattern: /pending (?:operations|creates?)|interrupted while (?:creating|updating)/i,
    says: () => "an earlier run was killed while it created something",
    todo: () => "`npm run recover` shows what it may have left behind in the accounts; then run it again",
  },
  {
    id: "pulumi.protected",
    pattern: /cannot be deleted.{0,40}protected|marked for protection/i,
    says: () => "what would be deleted holds data and is protected",
    todo: () => "If you mean it: `pulumi config set protect false`, `npm run up`, then again",
  },
  {
    id: "pulumi.plugin",
    pattern: /no resource plugin|could not (?:find|download) plugin|failed to (?:install|download) plugin/i,
    says: () => "a provider's plugin is missing and could not be downloaded",
    todo: () => "`pulumi install`; it needs access to get.pulumi.com and github.com",
  },
  {
    id: "network",
    pattern:
      /fetch failed|no such host|network is unreachable|TLS handshake timeout|\b50[234] (?:Bad Gateway|Service Unavailable|Gateway Time)/i,
    general: true,
    says: () => "an account's API did not answer",
    todo: () =>
      "Run it again: it continues where it stopped. https://www.cloudflarestatus.com and https://status.mongodb.com show outages",
  },
];
