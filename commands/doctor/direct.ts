/** The direct lines: connected, and their servers' sshd restricted. */
import { z } from "zod";
import { type Answer, type Finding, outputOf, unknown } from "./finding.ts";

const reportSchema = z.array(
  z.looseObject({
    server: z.string(),
    connected: z.boolean(),
    problem: z.string().optional(),
    serverProblems: z.array(z.string()).default([]),
  }),
);

/** Not a fault: the relay knows only what the last `pulumi up` handed over. */
const aboutRevoked = "a token revoked in the dashboard works here until the next `pulumi up --refresh`";

/**
 * @param answer of `installer.mjs direct`
 * @param servers that should have a line
 */
export function directFindings(answer: Answer | undefined, servers: readonly string[]): Finding[] {
  if (servers.length === 0) return [];
  const check = "direct line";
  const read = reportSchema.safeParse(parsed(outputOf(answer)));
  if (!read.success) {
    return [unknown(check, answer, "An installation of an earlier version cannot tell: run `pulumi up`.")];
  }
  return servers.map((server) => {
    const line = read.data.find((one) => one.server === server);
    const name = `${check} of ${server}`;
    if (line === undefined) {
      return {
        check: name,
        level: "fail",
        found: "not installed",
        means: "Its calls have to go through Cloudflare.",
        todo: "Run `pulumi up`.",
      };
    }
    if (!line.connected) {
      return {
        check: name,
        level: "fail",
        found: `not connected: ${line.problem ?? "unknown"} (${aboutRevoked})`,
        means: "Its calls have to go through Cloudflare.",
        todo: `On that server, as root: the paste of \`npm run direct -- --prepare ${server}\`; the log is /var/log/slm-network/direct-${server}.log.`,
      };
    }
    if (line.serverProblems.length > 0) {
      return {
        check: name,
        level: "warn",
        found: `connected; ${line.serverProblems.join("; ")} (${aboutRevoked})`,
        means: "The account of the line is not limited as it should be.",
        todo: `On that server, as root: the paste of \`npm run direct -- --prepare ${server}\`.`,
      };
    }
    return {
      check: name,
      level: "ok",
      found: `connected, the account on the server is limited (${aboutRevoked})`,
    };
  });
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch {
    return undefined;
  }
}
