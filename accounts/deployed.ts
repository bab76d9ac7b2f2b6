/** The resources of this stack's last deployment, read from its state; also in a preview. */
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";

const answerSchema = z.object({
  outputs: z.record(z.string(), z.object({ type: z.string(), outputs: z.record(z.string(), z.unknown()).default({}) })),
});

/** A resource of the last deployment. */
export interface DeployedResource {
  readonly urn: string;
  readonly type: string;
  /** The name it was declared with. */
  readonly name: string;
  readonly outputs: Readonly<Record<string, unknown>>;
}

/**
 * Call it once, before anything is declared: later the engine writes the state while it is read. A resource hook would see old and new as well, but only under the newest language hosts.
 *
 * @throws Error when the state cannot be read
 */
export async function deployedResources(): Promise<DeployedResource[]> {
  const stackName = `${pulumi.getOrganization()}/${pulumi.getProject()}/${pulumi.getStack()}`;
  const answer: unknown = await pulumi.runtime.invoke("pulumi:pulumi:readStackResourceOutputs", { stackName });
  return Object.entries(answerSchema.parse(answer).outputs).map(([urn, { type, outputs }]) => ({
    urn,
    type,
    name: urn.split("::").at(-1) ?? "",
    outputs,
  }));
}
