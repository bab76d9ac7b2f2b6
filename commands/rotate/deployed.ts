/** What is deployed: when a token expires, and which version of its secret is in use. */
import { z } from "zod";
import { type DeployedSecret, deployedSecrets, tokenName } from "../../accounts/rotation.ts";
import { programName } from "../init/adopt/adoptable.ts";
import { runPulumi } from "../pulumi-cli.ts";

const outputsSchema = z.object({ serviceTokenEndOfLife: z.record(z.string(), z.string()).optional() });

/** @returns when a server's token expires, in ms since 1970; undefined when the stack cannot be read or does not say */
export async function endOfLifeOf(stack: string, server: string): Promise<number | undefined> {
  try {
    const { stdout } = await runPulumi(["stack", "output", "--json", "--stack", stack]);
    const end = Date.parse(outputsSchema.parse(JSON.parse(stdout)).serviceTokenEndOfLife?.[server] ?? "");
    return Number.isNaN(end) ? undefined : end;
  } catch {
    return undefined; // not signed in, or not deployed yet: the rotation itself needs neither
  }
}

const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(
      z.object({ urn: z.string(), type: z.string(), outputs: z.record(z.string(), z.unknown()).default({}) }),
    ),
  }),
});

/** @returns the secret of a server's last deployment; undefined when there is none, or the state cannot be read */
export async function deployedSecretOf(stack: string, server: string): Promise<DeployedSecret | undefined> {
  try {
    const { stdout } = await runPulumi(["stack", "export", "--stack", stack]);
    const { resources } = stateSchema.parse(JSON.parse(stdout)).deployment;
    const deployed = resources.map((one) => ({ ...one, name: one.urn.split("::").at(-1) ?? "" }));
    return deployedSecrets([server], (name) => tokenName(programName, name), deployed).get(server);
  } catch {
    return undefined; // as above; `up` checks again
  }
}
