/** The rules, as @pulumi/policy takes them. */

import type { Policies, ResourceValidationArgs, ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import type { InspectedResource, Report } from "./inspected-resource.ts";
import {
  accessPolicyIsNotOpen,
  hostnameHasApplication,
  statefulIsProtected,
  ttlIsInRange,
  tunnelRecordIsProxied,
  typeIsKnown,
  unprotectedOnPurpose,
} from "./rules.ts";
import { plainSecrets } from "./secrets.ts";
import { unprotectedParts } from "./unprotected.ts";

const seen = ({
  type,
  name,
  urn,
  props,
  opts,
}: Omit<
  ResourceValidationArgs,
  "stackTags" | "getConfig" | "notApplicable" | "isType" | "asType"
>): InspectedResource => ({
  type,
  name,
  urn,
  props,
  protect: opts.protect,
});

const resourceRule = (
  name: string,
  description: string,
  rule: (resource: InspectedResource, report: Report) => void,
): ResourceValidationPolicy => ({
  name,
  description,
  validateResource: (args, report) => rule(seen(args), report),
});

/** By URN, what the look at the wrapped properties found; a validation gets them unwrapped. */
const foundInPlain = new Map<string, string[]>();

const noPlainSecrets: ResourceValidationPolicy = {
  name: "no-secret-in-plain-text",
  description: "A secret is marked as one, so that it is encrypted in the state and hidden in every output.",
  // Only a policy that may mend is shown which properties are secret. It mends nothing: a person should.
  enforcementLevel: "remediate",
  remediateResource: ({ type, urn, props }) => {
    foundInPlain.set(urn, plainSecrets(type, props));
    return undefined;
  },
  validateResource: ({ urn }, report) => {
    for (const problem of foundInPlain.get(urn) ?? []) report(problem);
  },
};

const hostnamesHaveApplications: StackValidationPolicy = {
  name: "hostname-has-access-application",
  description: "Every name that leads to a tunnel has an Access application in front.",
  validateStack: ({ resources }, report) => hostnameHasApplication(resources.map(seen), report),
};

/** All rules of the pack. */
export const policies: Policies = [
  resourceRule("tunnel-record-is-proxied", "A record that leads to a tunnel is proxied.", tunnelRecordIsProxied),
  hostnamesHaveApplications,
  resourceRule("access-policy-names-who-is-let-in", "No Access policy lets everyone in.", accessPolicyIsNotOpen),
  noPlainSecrets,
  resourceRule("resource-type-is-known", "Every resource has a type that the rules know.", typeIsKnown),
  resourceRule("stateful-is-protected", "In production, what holds state is protected.", (resource, report) =>
    statefulIsProtected(resource, report, unprotectedParts),
  ),
  {
    ...resourceRule("unprotected-on-purpose", "What slm-network:unprotect names may be deleted.", (resource, report) =>
      unprotectedOnPurpose(resource, report, unprotectedParts),
    ),
    enforcementLevel: "advisory",
  },
  resourceRule("ttl-is-1-to-365-days", "Documents are kept 1 to 365 days after their last use.", ttlIsInRange),
];
