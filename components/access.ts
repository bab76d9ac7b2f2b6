import type { types } from "@pulumi/cloudflare";
import { ZeroTrustAccessApplication } from "@pulumi/cloudflare/zeroTrustAccessApplication.js";
import { ZeroTrustAccessIdentityProvider } from "@pulumi/cloudflare/zeroTrustAccessIdentityProvider.js";
import { ZeroTrustAccessPolicy } from "@pulumi/cloudflare/zeroTrustAccessPolicy.js";
import { ZeroTrustAccessServiceToken } from "@pulumi/cloudflare/zeroTrustAccessServiceToken.js";
import * as pulumi from "@pulumi/pulumi";
import { type Login, oneTimePin, oneTimePinName } from "../accounts/identity-providers.ts";
import { endOfLifeWarning, tokenName } from "../accounts/rotation.ts";

/** A server that may call, as the stack's config names it. */
export interface ServerArgs {
  readonly name: string;
  readonly enabled: boolean;
  /** Refuses to delete this server's token. @default as the rest of Access */
  readonly protect?: boolean | undefined;
  /** Rises by one with each rotation. */
  readonly secretVersion: number;
  /** Until when the previous secret works (RFC 3339); there from version 2 on. */
  readonly previousSecretExpiresAt?: string | undefined;
  /** How long the token itself lives, a Go duration, e.g. 8760h. */
  readonly duration: string;
}

/** People who can sign in to `/status`. */
export interface PeopleArgs {
  readonly emails: readonly string[];
  readonly emailDomains: readonly string[];
  /** How they sign in. */
  readonly login: Login;
  /** Go duration, e.g. 24h. */
  readonly sessionDuration: string;
}

/** Arguments of Access. */
export interface AccessArgs {
  readonly accountId: pulumi.Input<string>;
  readonly hostname: string;
  /** Other names that lead to the same tunnel; each needs Access in front of it, too. */
  readonly alsoHostnames?: readonly string[] | undefined;
  readonly servers: readonly ServerArgs[];
  /** Who reads `/metrics`; without any there is no application for it. */
  readonly scrapers?: readonly ServerArgs[] | undefined;
  readonly people: PeopleArgs;
  /** Header from which Access reads a service token besides `CF-Access-Client-Id` and `-Secret`, as one JSON value. */
  readonly singleHeader?: string | undefined;
  /** Refuses to delete the tokens and applications. */
  readonly protect: boolean;
}

/** A service token's two halves, sent as `CF-Access-Client-Id` and `CF-Access-Client-Secret`. */
export interface ServiceToken {
  readonly clientId: pulumi.Output<string>;
  /** A secret; the one issued last. */
  readonly clientSecret: pulumi.Output<string>;
}

/**
 * The cookie that Access sets for a service token works without the token: a rotated or disabled secret lives on in it for
 * this long. Callers send their token with every request, so a short session costs them nothing.
 */
const serverSession = "30m";

/** @throws Error when a name that leads to the tunnel has no Access application: it would answer anyone */
export function requireAccess(names: readonly string[], behindAccess: ReadonlySet<string>): void {
  const open = names.filter((name) => !behindAccess.has(name));
  if (open.length === 0) return;
  throw new Error(
    `${open.join(", ")} would lead to the tunnel without an Access application in front and answer anyone: pass it to Access as well (it has ${[...behindAccess].join(", ") || "none"})`,
  );
}

/** @returns the include rules of the policy for people; empty: no one is admitted */
function peopleRules(people: Pick<PeopleArgs, "emails" | "emailDomains">) {
  return [
    ...people.emails.map((email) => ({ email: { email } })),
    ...people.emailDomains.map((domain) => ({ emailDomain: { domain } })),
  ];
}

/**
 * Access in front of the hostname: one application for servers (the whole host, by service token), one for people
 * (`/status` and below, by sign-in; the more specific path wins), and, with scrapers, one for `/metrics` that admits only
 * their tokens. An application without a matching policy admits no one.
 *
 * @example
 * const access = new Access("slm", { accountId, hostname: "slm.example.com", servers: [{ name: "backend", … }], people, protect: true });
 * access.tokens.get("backend")?.clientId;
 */
export class Access extends pulumi.ComponentResource {
  /** Audience (AUD tag) of each application; `metrics` only with scrapers. */
  readonly audiences: {
    readonly servers: pulumi.Output<string>;
    readonly people: pulumi.Output<string>;
    readonly metrics: pulumi.Output<string> | undefined;
  };
  /** Tokens by the name of the server or the scraper; servers first. */
  readonly tokens: ReadonlyMap<string, ServiceToken>;
  /** Ids of the tokens, as policies name them, by the server's name. */
  readonly tokenIds: ReadonlyMap<string, pulumi.Output<string>>;
  /** Ids of the identity providers that people sign in with; empty when no one signs in. */
  readonly identityProviders: readonly pulumi.Input<string>[];
  /** When each token's own life ends (RFC 3339), by the server's name. */
  readonly endOfLife: ReadonlyMap<string, pulumi.Output<string>>;
  /** The names it protects: no other name may lead to the tunnel. */
  readonly hostnames: ReadonlySet<string>;

  constructor(name: string, args: AccessArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:access:Access", name, {}, opts);
    const { accountId, hostname, protect } = args;
    const hostnames = [hostname, ...(args.alsoHostnames ?? [])];

    const scrapers = args.scrapers ?? [];
    const tokens = [...args.servers, ...scrapers].map((server) => ({
      server,
      token: new ZeroTrustAccessServiceToken(
        tokenName(name, server.name),
        {
          accountId,
          name: `${hostname} ${server.name}`,
          duration: server.duration,
          enabled: server.enabled,
          // The provider takes both or neither; without them it plans version 1.
          ...(server.previousSecretExpiresAt && {
            clientSecretVersion: server.secretVersion,
            previousClientSecretExpiresAt: server.previousSecretExpiresAt,
          }),
        },
        { parent: this, protect: server.protect ?? protect, additionalSecretOutputs: ["clientSecret"] },
      ),
    }));

    const admitted = tokens.slice(0, args.servers.length).filter(({ server }) => server.enabled);
    this.identityProviders = this.allowedIdps(name, args);
    const servers = this.application(name, "servers", hostnames, args, {
      // Without any other kind of policy a server gets 403, never the sign-in page.
      decision: "non_identity",
      includes: admitted.map(({ token }) => ({ serviceToken: { tokenId: token.id } })),
      sessionDuration: serverSession,
    });
    const includes = peopleRules(args.people);
    const people = this.application(
      name,
      "people",
      hostnames.map((host) => `${host}/status`),
      args,
      {
        decision: "allow",
        includes,
        sessionDuration: args.people.sessionDuration,
        allowedIdps: includes.length > 0 ? [...this.identityProviders] : undefined,
      },
    );

    const metrics =
      scrapers.length === 0
        ? undefined
        : this.application(
            name,
            "metrics",
            hostnames.map((host) => `${host}/metrics`),
            args,
            {
              decision: "non_identity",
              includes: tokens
                .slice(args.servers.length)
                .flatMap(({ server, token }) => (server.enabled ? [{ serviceToken: { tokenId: token.id } }] : [])),
              sessionDuration: serverSession,
            },
          );

    this.hostnames = new Set(hostnames);
    this.audiences = { servers: servers.aud, people: people.aud, metrics: metrics?.aud };
    this.tokens = new Map(
      tokens.map(({ server, token }) => [
        server.name,
        { clientId: token.clientId, clientSecret: pulumi.secret(token.clientSecret) },
      ]),
    );
    this.tokenIds = new Map(tokens.map(({ server, token }) => [server.name, token.id]));
    this.endOfLife = new Map(
      tokens.map(({ server, token }) => [
        server.name,
        token.expiresAt.apply((expiresAt) => {
          const warning = endOfLifeWarning(server.name, expiresAt);
          if (warning) void pulumi.log.warn(warning, token);
          return expiresAt;
        }),
      ]),
    );
    this.registerOutputs({ audiences: this.audiences });
  }

  /** Ids of what people may sign in with. Left to Cloudflare it would be every provider of the account. */
  private allowedIdps(name: string, args: AccessArgs): pulumi.Input<string>[] {
    const { existing, declareOneTimePin } = args.people.login;
    if (!declareOneTimePin) return [...existing];
    const pin = new ZeroTrustAccessIdentityProvider(
      oneTimePinName(name),
      { accountId: args.accountId, name: "One-time PIN", type: oneTimePin, config: {} },
      // Other applications of the account may have come to use it, too.
      { parent: this, protect: args.protect },
    );
    return [...existing, pin.id];
  }

  /** One application and its policy. Without include rules there is no policy, so no one is admitted. */
  private application(
    name: string,
    audience: "servers" | "people" | "metrics",
    uris: readonly string[],
    args: AccessArgs,
    policy: {
      decision: "allow" | "non_identity";
      includes: types.input.ZeroTrustAccessPolicyInclude[];
      sessionDuration: string;
      allowedIdps?: pulumi.Input<string>[] | undefined;
    },
  ): ZeroTrustAccessApplication {
    const policies =
      policy.includes.length === 0
        ? []
        : [
            new ZeroTrustAccessPolicy(
              `${name}-policy-${audience}`,
              {
                accountId: args.accountId,
                name: `${args.hostname} ${audience}`,
                decision: policy.decision,
                includes: policy.includes,
                // Explicit: without it the provider reports a difference on every run.
                sessionDuration: policy.sessionDuration,
              },
              { parent: this },
            ),
          ];
    return new ZeroTrustAccessApplication(
      `${name}-app-${audience}`,
      {
        accountId: args.accountId,
        type: "self_hosted",
        name: `${args.hostname} ${audience}`,
        destinations: uris.map((uri) => ({ type: "public", uri })),
        policies: policies.map((attached, index) => ({ id: attached.id, precedence: index + 1 })),
        sessionDuration: policy.sessionDuration,
        ...(policy.allowedIdps && { allowedIdps: policy.allowedIdps }),
        ...(audience === "servers" && args.singleHeader && { readServiceTokensFromHeader: args.singleHeader }),
        appLauncherVisible: false,
        httpOnlyCookieAttribute: true,
      },
      { parent: this, protect: args.protect },
    );
  }
}
