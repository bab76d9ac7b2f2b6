/** Is each direct line connected, and does its server's sshd restrict it? */
import { z } from "zod";
import { defineCheck, fail, ok, outputOf, type Part, unknown, warn } from "../check.ts";
import { node, root } from "../commands.ts";
import { parseJson } from "../json.ts";
import type { Messages } from "../messages/en.ts";
import { messagesIn } from "../messages.ts";

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

export const directLines = defineCheck({
  name: "direct line",
  // The installer waits for a connection and for the server's keep-alive message.
  timeoutMs: 60_000,
  commands({ directServers }) {
    if (directServers.length === 0) return {};
    return { lines: `sudo -n ${node} ${root}/usr/local/slm-network/current/installer.mjs direct --root ${root}/` };
  },
  evaluate({ lines: answer }, context) {
    const { directServers } = context;
    const say = messagesIn(context).directLines;
    if (directServers.length === 0) return undefined;
    const lines = parseJson(reportSchema, outputOf(answer));
    if (!lines) return unknown(context, answer, say.tooOld);
    return directServers.map((server) =>
      conclude(
        say,
        server,
        lines.find((line) => line.server === server),
      ),
    );
  },
});

function conclude(say: Messages["directLines"], server: string, line: Line | undefined): Part {
  const subject = server;
  if (line === undefined) return { subject, ...fail(...say.notInstalled()) };
  if (!line.connected) return { subject, ...fail(...say.notConnected(server, line.problem)) };
  // That a token revoked in the dashboard still works is not a fault: the relay knows only what the last `pulumi up` said.
  const problems = line.serverProblems.join("; ");
  return { subject, ...(problems ? warn(...say.unrestricted(server, problems)) : ok(say.connected)) };
}
