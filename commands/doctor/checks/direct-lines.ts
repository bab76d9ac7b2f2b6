/** Is each direct line connected, and does its server's sshd restrict it? */
import { z } from "zod";
import { defineCheck, fail, ok, outputOf, type Part, unknown, warn } from "../check.ts";
import { node, root } from "../commands.ts";
import { parseJson } from "../json.ts";

/** What `installer.mjs direct` prints. */
const reportSchema = z.array(
  z.looseObject({
    server: z.string(),
    connected: z.boolean(),
    problem: z.string().optional(),
    serverProblems: z.array(z.string()).default([]),
  }),
);
type Line = z.infer<typeof reportSchema>[number];

/** Not a fault: the relay knows only what the last `pulumi up` handed over. */
const aboutRevoked = "a token revoked in the dashboard works here until the next `pulumi up --refresh`";

export const directLines = defineCheck({
  name: "direct line",
  // The installer waits for a connection and for the server's keep-alive message.
  timeoutMs: 60_000,
  commands({ directServers }) {
    if (directServers.length === 0) return {};
    return { lines: `sudo -n ${node} ${root}/usr/local/slm-network/current/installer.mjs direct --root ${root}/` };
  },
  evaluate({ lines: answer }, { directServers }) {
    if (directServers.length === 0) return undefined;
    const lines = parseJson(reportSchema, outputOf(answer));
    if (!lines) return unknown(answer, "An installation of an earlier version cannot report this: run `pulumi up`.");
    return directServers.map((server) =>
      conclude(
        server,
        lines.find((line) => line.server === server),
      ),
    );
  },
});

function conclude(server: string, line: Line | undefined): Part {
  const subject = server;
  const unused = "Its requests have to go through Cloudflare.";
  const prepare = `On that server, as root: the paste of \`npm run direct -- --prepare ${server}\``;
  if (line === undefined) return { subject, ...fail("not installed", unused, "Run `pulumi up`.") };
  if (!line.connected) {
    const found = `not connected: ${line.problem ?? "unknown"} (${aboutRevoked})`;
    return { subject, ...fail(found, unused, `${prepare}; the log is /var/log/slm-network/direct-${server}.log.`) };
  }
  if (line.serverProblems.length > 0) {
    const found = `connected; ${line.serverProblems.join("; ")} (${aboutRevoked})`;
    return { subject, ...warn(found, "The line's account is not restricted as it should be.", `${prepare}.`) };
  }
  return {
    subject,
    ...ok(`connected, the account on the server is restricted (${aboutRevoked})`),
  };
}
