/**
 * Versions of adopted service tokens. The provider imports a token without its version and then writes the program's, 1 unless
 * the stack file says otherwise (docs/providers.md, row 3): over a token that was rotated by hand, that is a rotation nobody
 * asked for. So the stack file gets the token's own version. Pure.
 */
import type { ServiceToken } from "../../../accounts/cloudflare.ts";
import type { ServerSettings } from "../../rotate/plan.ts";
import { writeServer } from "../../rotate/stack-file.ts";
import { type Adoptable, adoptableType, programName } from "./adoptable.ts";

/** Settings to write, by the server's name. */
export type TokenVersions = ReadonlyMap<string, ServerSettings>;

/**
 * @param taken what is adopted
 * @param now when the previous secret ends for the program: it is the account's, and an adoption does not prolong it
 */
export function tokenVersions(
  taken: readonly Adoptable[],
  tokens: readonly ServiceToken[],
  servers: readonly { readonly name: string; readonly secretVersion: number }[],
  now: Date,
): TokenVersions {
  const previousSecretExpiresAt = now.toISOString().replace(/\.\d+Z$/, "Z");
  return new Map(
    servers.flatMap(({ name, secretVersion }) => {
      const adopted = taken.find(
        (one) => one.type === adoptableType("serviceToken") && one.name === `${programName}-token-${name}`,
      );
      const version = tokens.find(({ id }) => adopted?.id.endsWith(`/${id}`))?.secretVersion;
      if (version === undefined || version <= 1 || version === secretVersion) return [];
      return [[name, { secretVersion: version, previousSecretExpiresAt }] as const];
    }),
  );
}

/** @returns the stack file's text with the versions written @throws Refusal when an entry cannot be changed safely */
export const withTokenVersions = (text: string, versions: TokenVersions): string =>
  [...versions].reduce((written, [server, settings]) => writeServer(written, server, settings), text);
