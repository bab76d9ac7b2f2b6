/**
 * Rules of an Access policy. Each is an object with exactly one key, its kind.
 * @see https://developers.cloudflare.com/cloudflare-one/access-controls/policies/#selectors
 */
import { isIP } from "node:net";
import { z } from "zod";

const text = z.string().min(1);
const withProvider = (fields: z.ZodRawShape) => z.strictObject({ identity_provider_id: text, ...fields });

function isAddressRange(value: string): boolean {
  const [address = "", bits, ...more] = value.split("/");
  const family = isIP(address);
  if (family === 0 || more.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

const kinds: Record<string, z.ZodType<Record<string, unknown>>> = {
  any_valid_service_token: z.strictObject({}),
  auth_context: withProvider({ id: text, ac_id: text }),
  auth_method: z.strictObject({ auth_method: text }),
  azureAD: withProvider({ id: text }),
  certificate: z.strictObject({}),
  cloudflare_account_member: z.strictObject({ account_id: text.optional() }),
  common_name: z.strictObject({ common_name: text }),
  device_posture: z.strictObject({ integration_uid: text, account_id: text.optional() }),
  email: z.strictObject({ email: z.email() }),
  email_domain: z.strictObject({
    domain: text.regex(/^([a-z0-9-]+\.)+[a-z0-9-]+$/i, "expected a domain without @, e.g. example.com"),
  }),
  email_list: z.strictObject({ id: text }),
  everyone: z.strictObject({}),
  external_evaluation: z.strictObject({ evaluate_url: text, keys_url: text }),
  geo: z.strictObject({ country_code: text.regex(/^[A-Z0-9]{2}$/, "expected two capital letters, e.g. KR") }),
  "github-organization": withProvider({ name: text, team: text.optional() }),
  group: z.strictObject({ id: text }),
  gsuite: withProvider({ email: text }),
  ip: z.strictObject({ ip: z.string().refine(isAddressRange, "expected an IP address or range, e.g. 203.0.113.0/24") }),
  ip_list: z.strictObject({ id: text }),
  linked_app_token: z.strictObject({ app_uid: text }),
  login_method: z.strictObject({ id: text }),
  oidc: withProvider({ claim_name: text, claim_value: text }),
  okta: withProvider({ name: text }),
  saml: withProvider({ attribute_name: text, attribute_value: text }),
  service_token: z.strictObject({ token_id: text }),
  user_risk_score: z.strictObject({ user_risk_score: z.array(z.enum(["low", "medium", "high", "unscored"])).min(1) }),
};

/** One rule. */
export const accessRule = z.record(z.string(), z.record(z.string(), z.unknown())).superRefine((rule, context) => {
  const keys = Object.keys(rule);
  const [kind = ""] = keys;
  const schema = kinds[kind];
  if (keys.length !== 1 || schema === undefined) {
    const message = `expected an object with exactly one of ${Object.keys(kinds).join(", ")}, not {${keys.join(", ")}}`;
    context.addIssue({ code: "custom", message });
    return;
  }
  const checked = schema.safeParse(rule[kind]);
  for (const issue of checked.error?.issues ?? []) {
    context.addIssue({ code: "custom", path: [kind, ...issue.path], message: issue.message });
  }
});
