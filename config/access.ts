/** The part of the stack's config about access: `access`. */
import { z } from "zod";
import { isDnsLabel } from "./host-name.ts";
import { openMailDomains } from "./open-mail-domains.ts";
import { evenIfEntriesInvalid, evenIfInvalid, resourceName, withMessage } from "./rule-helpers.ts";

const goDuration = /^(\d+(\.\d+)?(h|m|s))+$/;
const tokenLife = /^(forever|(\d+(\.\d+)?(h|m|s))+)$/;

/** Name and lifetime of a service token: of a server that calls, and of one that reads the metrics. */
const tokenFields = (what: string) => ({
  name: z
    .string(withMessage(`a ${what} needs a name, e.g. backend`))
    .regex(
      resourceName,
      withMessage(`is not a valid ${what} name: lower-case letters, digits and -, beginning with a letter, at most 41`),
    )
    .refine(
      (name) => name !== "tunnel",
      withMessage("is taken: `npm run rotate -- tunnel` means the tunnel's own secret"),
    ),
  secretVersion: z
    .int(withMessage("must be a whole number, 1 or more"))
    .min(1, withMessage("must be 1 or more; each rotation adds 1"))
    .default(1),
  previousSecretExpiresAt: z.iso
    .datetime({
      offset: true,
      error: 'is not an RFC 3339 timestamp: write it in quotes, e.g. "2026-12-01T00:00:00Z"',
    })
    .optional(),
  enabled: z.boolean(withMessage("must be true or false")).default(true),
  duration: z
    .string()
    .regex(tokenLife, withMessage("is not a duration, e.g. 8760h for a year, or forever"))
    .default("8760h"),
});

interface TokenVersion {
  readonly secretVersion: number;
  readonly previousSecretExpiresAt?: string | undefined;
}

/** Version and end of the previous secret require each other. */
const withVersionRules = <S extends z.ZodType<TokenVersion>>(schema: S) =>
  schema
    .refine((token) => token.secretVersion <= 1 || token.previousSecretExpiresAt !== undefined, {
      path: ["previousSecretExpiresAt"],
      error:
        "is missing: from the second secret on (secretVersion over 1) say until when the previous one works, e.g. 2026-12-01T00:00:00Z, and keep both values from then on",
      when: evenIfInvalid,
    })
    .refine((token) => token.secretVersion > 1 || token.previousSecretExpiresAt === undefined, {
      path: ["previousSecretExpiresAt"],
      error:
        "is set although secretVersion is 1, so there is no previous secret yet: remove it, or raise secretVersion to rotate",
      when: evenIfInvalid,
    });

const serverSchema = withVersionRules(
  z
    .object({
      ...tokenFields("server"),
      companies: z
        .array(z.string().min(1, withMessage("a company's name is empty: remove the entry or name the company")))
        .min(1, withMessage('no company: list those whose documents the server may use, or ["*"] for all'))
        .default(["*"]),
      weight: z
        .number()
        .positive(withMessage("must be over 0: its share of the slots relative to the other servers, e.g. 1"))
        .default(1),
    })
    .strict(),
);

/** `metrics` of the stack's config: who reads `/metrics` from outside. Off unless there is someone. */
export const metricsSchema = z
  .object({
    scrapers: z
      .array(withVersionRules(z.object(tokenFields("scraper")).strict()))
      .default([])
      .refine((scrapers) => !hasDuplicates(scrapers), {
        error: "two scrapers have the same name: each needs its own",
        when: evenIfEntriesInvalid,
      }),
  })
  .strict();

const emailDomain = z
  .string()
  .refine(
    (domain) => domain.split(".").length >= 2 && domain.split(".").every(isDnsLabel),
    withMessage("is not an e-mail domain: the part after the @, without wildcards, e.g. example.com"),
  )
  .refine((domain) => !openMailDomains.has(domain), {
    error:
      "is a domain where anyone can get an address, so this would let everyone in: name the people one by one in people.emails, or the company's own domain",
    abort: true,
  });

const email = z.email(
  withMessage(
    "is not an e-mail address: one person each, without wildcards; a whole company goes into people.emailDomains",
  ),
);

/** One person, or everybody of an e-mail domain. */
const operator = z
  .string()
  .refine(
    (entry) =>
      email.safeParse(entry).success || (entry.startsWith("@") && emailDomain.safeParse(entry.slice(1)).success),
    withMessage("is neither an e-mail address nor the domain of a company with an @ before it, e.g. @example.com"),
  )
  .refine(
    (entry) => /^[\x21-\x7e]+$/.test(entry),
    withMessage("has letters beyond ASCII, which the relay does not compare: name an address without them"),
  );

/** Operators must be able to sign in. */
function operatorsArePeople(
  { emails, emailDomains, operators }: { emails: string[]; emailDomains: string[]; operators: string[] },
  context: z.RefinementCtx,
): void {
  const lower = (all: readonly string[]) => new Set(all.map((one) => one.toLowerCase()));
  const [people, domains] = [lower(emails), lower(emailDomains)];
  for (const [index, entry] of operators.entries()) {
    const [, domain = ""] = entry.toLowerCase().split("@");
    if (domains.has(domain) || people.has(entry.toLowerCase())) continue;
    const wanted = entry.startsWith("@") ? `people.emailDomains: ${domain}` : `people.emails: ${entry}`;
    context.addIssue({
      code: "custom",
      path: ["operators", index],
      message: `names somebody who cannot sign in: add ${wanted}, or take the entry out`,
      input: entry,
    });
  }
}

/**
 * Headers with a meaning of their own: what the edge, cloudflared, the relay or the model server read. `Authorization` and
 * `x-api-key` are not among them: the relay never passes them on.
 */
const usedHeaders = new Set([
  ...["accept", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version", "cdn-loop", "connection"],
  ...["content-encoding", "content-length", "content-type", "cookie", "date", "expect", "host", "idempotency-key"],
  ...["if-none-match", "keep-alive", "openai-beta", "prefer", "proxy-authorization", "te", "traceparent", "tracestate"],
  ...["trailer", "transfer-encoding", "upgrade", "user-agent", "x-request-id"],
]);
const usedPrefixes = ["cf-", "slm-", "x-slm-", "x-forwarded-"];

/** `access.singleHeader`: one header that carries the whole service token, for clients that can send only one. */
const singleHeader = z
  .string(withMessage("is not a valid header name, e.g. x-api-key"))
  .regex(/^[A-Za-z0-9-]{1,64}$/, withMessage("is not a valid header name: letters, digits and -, e.g. x-api-key"))
  .refine(
    (name) =>
      !usedHeaders.has(name.toLowerCase()) && !usedPrefixes.some((prefix) => name.toLowerCase().startsWith(prefix)),
    withMessage("has a meaning of its own in a request: name another header, e.g. x-api-key"),
  );

/** @param servers entries of any form */
function hasDuplicates(servers: readonly unknown[]): boolean {
  const names = servers.flatMap((server) =>
    typeof server === "object" && server !== null && "name" in server && typeof server.name === "string"
      ? [server.name]
      : [],
  );
  return new Set(names).size < names.length;
}

/** `access` of the stack's config. */
export const accessSchema = z
  .object({
    servers: z
      .array(serverSchema, withMessage("is missing: list at least one server that may call, e.g. [{ name: backend }]"))
      .min(1, withMessage("is empty: list at least one server that may call, e.g. [{ name: backend }]"))
      .refine((servers) => !hasDuplicates(servers), {
        error: "two servers have the same name: each needs its own",
        when: evenIfEntriesInvalid,
      }),
    people: z
      .object({
        emails: z.array(email).default([]),
        emailDomains: z.array(emailDomain).default([]),
        identityProviders: z
          .array(z.string(withMessage("is not text: onetimepin, or the name or id of an identity provider")).min(1))
          .min(1, withMessage("is empty, so nobody could sign in: list onetimepin, or a provider of the account"))
          .default(["onetimepin"]),
        sessionDuration: z.string().regex(goDuration, withMessage("is not a duration, e.g. 24h")).default("24h"),
        /** Those of them who may act from the status page. */
        operators: z.array(operator).default([]),
      })
      .strict()
      .prefault({})
      .superRefine(operatorsArePeople),
    singleHeader: singleHeader.optional(),
  })
  .strict();
