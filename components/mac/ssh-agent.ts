/**
 * Serves the SSH key of `pulumi up` to @pulumi/command's uploads. Its provider knows the agent at SSH_AUTH_SOCK or
 * a private key among the inputs, which would stand in the state. So the program serves an agent of its own at a path that is
 * the same on every machine, with the key of SLM_NETWORK_SSH_KEY alone, else with what the agent at SSH_AUTH_SOCK has.
 */
import * as pulumi from "@pulumi/pulumi";
import { serveAgent } from "../../ssh/agent-server.ts";
import { programAgentPath, readAuth } from "../../ssh/auth.ts";
import { SessionError } from "../../ssh/session-error.ts";

/**
 * Serves the agent while this process lives, in an `up` only: a preview uploads nothing.
 * @param stack its name, so that two stacks may be brought up from one checkout at once
 * @param say called when there is no key. That is not a failure: an `up` that sends nothing to the Mac needs none
 * @returns the socket's path, relative to the project: the working directory of the program and of the providers
 */
export async function offerSshKey(
  stack: string,
  say: (line: string) => void,
  { isDryRun = pulumi.runtime.isDryRun(), environment = process.env } = {},
): Promise<string> {
  const path = programAgentPath(stack);
  if (isDryRun) return path;
  try {
    await serveAgent(path, await readAuth(undefined, environment));
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    say(`no SSH key for the Mac: ${error.message}`);
  }
  return path;
}
