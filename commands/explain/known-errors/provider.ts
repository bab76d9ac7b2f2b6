/** Errors that come from how the official provider plugins work (docs/providers.md), in their verbatim texts. */
import type { KnownError } from "../known-error.ts";

export const providerErrors: readonly KnownError[] = [
  {
    id: "provider.deleted-by-hand",
    // Cloudflare's: METHOD "URL": 404 Not Found …; Atlas': URL METHOD: HTTP 404 Not Found (Error code: …).
    pattern:
      /\b(DELETE|PUT|PATCH) "?((?:https?:\/)?\/(?:(?!\/cfd_tunnel\/)[^\s"])+)"?: 404\b|(https?:\/\/\S+) (DELETE|PATCH|PUT): HTTP 404\b/,
    says: ([, method, url, atlasUrl, atlasMethod]) =>
      `a resource of this stack no longer exists in the account (${method ?? atlasMethod} ${url ?? atlasUrl}): it was deleted by hand`,
    todo: () =>
      "`pulumi refresh` removes it from the state; then run it again (for a `destroy`: `pulumi destroy --refresh`)",
  },
  {
    id: "provider.tunnel-deleted",
    pattern: /\/cfd_tunnel\/[0-9a-f-]{36}(?:\/\S*)?"?: 404\b/,
    says: () => "the stack's tunnel was deleted in the dashboard, which `pulumi refresh` does not notice",
    todo: () =>
      "`pulumi state delete --target-dependents <URN of the tunnel>` (`pulumi stack --show-urns`), then `npm run init -- --adopt` for what is left of it in the account, then `npm run up`",
  },
  {
    id: "provider.flex-busy",
    pattern: /unexpected state '(UPDATING|REPAIRING)', wanted target 'DELETED'/,
    says: ([, state = ""]) =>
      `the Flex cluster was ${state} when it was to be deleted, which the provider reports as an error`,
    todo: () => "Wait until Atlas shows it as active or gone, `pulumi refresh`, and run it again",
  },
  {
    id: "provider.flex-lost",
    pattern: /delete_on_create_timeout|timeout while waiting for state to become 'IDLE'/,
    says: () => "the Flex cluster was not ready in time; the provider then deletes and forgets it",
    todo: () => "`npm run recover` shows whether it still exists, and imports it; otherwise run `npm run up` again",
  },
];
