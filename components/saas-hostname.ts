import { CustomHostname } from "@pulumi/cloudflare/customHostname.js";
import * as pulumi from "@pulumi/pulumi";

/** Arguments of a custom hostname. */
export interface SaasHostnameArgs {
  readonly zoneId: pulumi.Input<string>;
  /** The name in the other domain, for callers. */
  readonly saasHostname: string;
  /** The name under the zone that it points to; it keeps answering. */
  readonly hostname: string;
  /** Access and the tunnel have the name: the second phase. */
  readonly isServed: boolean;
  /** Refuses to delete it. */
  readonly protect: boolean;
}

/** A record to create by hand in the other domain's DNS. */
export interface ExternalRecord {
  readonly type: "CNAME" | "TXT";
  readonly name: string;
  readonly content: string;
  /** What it is for, and whether it can be left out. */
  readonly note: string;
}

/** The state of a custom hostname's validation. */
export interface Validation {
  /** `active` when it answers; https://developers.cloudflare.com/api/resources/custom_hostnames/ has the others. */
  readonly status: string;
  /** The TXT record that proves ownership; gone once it has been proved. */
  readonly ownership?: { readonly name?: string; readonly value?: string } | undefined;
  readonly errors?: readonly string[] | undefined;
}

/** @returns the records to create in the other domain's DNS */
export function externalRecords(
  { saasHostname, hostname }: Pick<SaasHostnameArgs, "saasHostname" | "hostname">,
  { ownership }: Validation,
): ExternalRecord[] {
  const cname: ExternalRecord = {
    type: "CNAME",
    name: saasHostname,
    content: hostname,
    note: "DNS-only, never proxied there. It alone is enough: Cloudflare then validates the name and its certificate over HTTP",
  };
  if (!ownership?.name || !ownership.value) return [cname];
  return [
    cname,
    {
      type: "TXT",
      name: ownership.name,
      content: ownership.value,
      note: "only needed when the name is in use elsewhere now: it proves ownership before the CNAME is moved",
    },
  ];
}

/** @returns one sentence: the name for callers and the next step */
export function validationText(
  { saasHostname, hostname, isServed }: Pick<SaasHostnameArgs, "saasHostname" | "hostname" | "isServed">,
  { status, errors }: Validation,
): string {
  if (isServed) {
    // The state may be older than the check that found the name active.
    const warning = ["active", "pending"].includes(status) ? "" : `, though its state is ${status}${reasons(errors)}`;
    return `${saasHostname} is served${warning}; ${hostname} keeps answering beside it`;
  }
  if (status === "active") {
    return `${saasHostname} is active: run \`pulumi up\` once more, which puts Access in front of it and serves it. Until then callers use ${hostname}`;
  }
  return `${saasHostname} is ${status}${reasons(errors)}: until it is served callers use ${hostname}. Create the records in \`pulumi stack output route\` in its domain's DNS, then run \`pulumi up --refresh\` until it is active, and \`pulumi up\` once more`;
}

const reasons = (errors: readonly string[] | undefined): string =>
  errors?.length ? ` (Cloudflare: ${errors.join("; ")})` : "";

/**
 * A custom hostname (Cloudflare for SaaS): a name of a domain outside the account that leads to the tunnel. It answers once
 * its owner has made the records; the name under the zone answers before and after.
 *
 * Certificates are validated over HTTP, since then the CNAME is the only record that is needed.
 * https://developers.cloudflare.com/cloudflare-for-platforms/cloudflare-for-saas/security/certificate-management/issue-and-validate/validate-certificates/http/
 *
 * @example
 * new SaasHostname("slm", { zoneId, saasHostname: "slm.example.net", hostname: "slm.example.com", protect: true }).records;
 */
export class SaasHostname extends pulumi.ComponentResource {
  readonly status: pulumi.Output<string>;
  readonly records: pulumi.Output<ExternalRecord[]>;
  /** One sentence: the name for callers and the next step. */
  readonly state: pulumi.Output<string>;
  /** The name callers should use now. */
  readonly callers: pulumi.Output<string>;

  constructor(name: string, args: SaasHostnameArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:saas-hostname:SaasHostname", name, {}, opts);

    const custom = new CustomHostname(
      `${name}-custom-hostname`,
      {
        zoneId: args.zoneId,
        hostname: args.saasHostname,
        // `wildcard` is explicit: the provider reads false back, and without it every refresh would show an update, which may
        // restart the validation.
        ssl: { method: "http", type: "dv", wildcard: false, settings: { minTlsVersion: "1.2" } },
      },
      { parent: this, protect: args.protect },
    );

    const validation = pulumi
      .all([custom.status, custom.ownershipVerification, custom.verificationErrors])
      .apply(([status, ownership, errors]): Validation => ({ status, ownership, errors }));
    this.status = custom.status;
    this.records = validation.apply((known) => externalRecords(args, known));
    this.state = validation.apply((known) => validationText(args, known));
    this.callers = pulumi.output(args.isServed ? args.saasHostname : args.hostname);
    this.registerOutputs({ status: this.status, records: this.records, state: this.state });
  }
}
