/**
 * `npm run rotate -- <server>` writes a rotation of a server's secret into the stack file; `npm run rotate -- tunnel` writes a
 * new secret for the tunnel. Neither changes anything at Cloudflare: the next `pulumi up` does.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { jsonOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { Refusal, UsageError } from "../errors.ts";
import { runPulumi, stackFile, stackName } from "../pulumi-cli.ts";
import { replaceFile } from "../replace-file.ts";
import { deployedSecretOf, endOfLifeOf } from "./deployed.ts";
import { durationMs, inWords, rfc3339 } from "./durations.ts";
import { deployBefore, plan, type ServerSettings, type Wish } from "./plan.ts";
import { readServer, writeServer } from "./stack-file.ts";
import { checkWritten } from "./validate.ts";

const command = {
  name: "rotate",
  summary:
    "Writes a new secret for a server, or for the tunnel, into the stack file. The next `pulumi up` issues it; the old one works on for the overlap.",
  operands: "<server>|tunnel",
  options: {
    overlap: {
      type: "string",
      value: "TIME",
      default: "7d",
      help: "how long the old secret works on: s, m, h, d, w; default 7d, at least 2h",
    },
    extend: {
      type: "boolean",
      default: false,
      help: "no new secret: moves the end of the overlap, e.g. when a pull request waited too long",
    },
    prolong: { type: "boolean", default: false, help: "no new secret: a year more until the token itself expires" },
    force: {
      type: "boolean",
      default: false,
      help: "allows a rotation inside an overlap, or an overlap under two hours",
    },
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run rotate -- backend", "a new secret for backend"],
    ["npm run rotate -- backend --overlap 36h", "the old one works 36 hours longer"],
    ["npm run rotate -- tunnel", "a new secret for the tunnel, or its first"],
  ],
  exitCodes: { 0: "written", 1: "refused: nothing was written" },
} as const;

await runCommand(command, async (args) => {
  const { values, positionals } = parseCommand(command, args);
  const [name, ...more] = positionals;
  if (!name || more.length > 0)
    throw new UsageError("name one server, or `tunnel`. `npm run rotate -- --help` has examples.");
  if (values.extend && values.prolong)
    throw new UsageError("--extend and --prolong exclude each other: do one after the other");
  const overlapMs = durationMs(values.overlap);
  if (!overlapMs)
    throw new UsageError(`--overlap ${JSON.stringify(values.overlap)} is not a duration: write e.g. 7d or 36h`);
  const stack = await stackName(values.stack);
  if (name === "tunnel") return rotateTunnel(stack, values.json);
  const what = values.extend ? "extend" : values.prolong ? "prolong" : "rotate";
  return rotateServer(stack, name, { what, overlapMs, force: values.force }, values.json);
});

async function rotateServer(
  stack: string,
  server: string,
  asked: Pick<Wish, "what" | "overlapMs" | "force">,
  json: boolean,
): Promise<void> {
  const file = stackFile(stack);
  const text = await readFile(file, "utf8").catch(() => {
    throw new UsageError(`${file} cannot be read: is ${JSON.stringify(stack)} the right stack? (--stack)`);
  });
  const before = readServer(text, server);
  const now = Date.now();
  const [endOfLife, deployed] = await Promise.all([endOfLifeOf(stack, server), deployedSecretOf(stack, server)]);
  const change = plan(server, before, { ...asked, now, endOfLife, deployed });
  const written = writeServer(text, server, change);
  checkWritten(written, server, change);
  await replaceFile(file, written);
  const expires = endOfLife === undefined ? null : rfc3339(endOfLife);
  if (json) console.log(JSON.stringify({ stack, server, change, tokenExpiresAt: expires }, null, 2));
  else console.log(report(stack, server, before, change, { now, endOfLife }));
}

function report(
  stack: string,
  server: string,
  before: ServerSettings,
  change: ServerSettings,
  { now, endOfLife }: { now: number; endOfLife: number | undefined },
): string {
  const old: Record<string, unknown> = { secretVersion: 1, duration: "8760h", ...before };
  const lines = Object.entries(change).map(
    ([key, value]) => `  ${key}: ${String(old[key] ?? "(none)")} → ${String(value)}`,
  );
  const life =
    endOfLife === undefined
      ? "When the token itself expires is not known here (pulumi stack output serviceTokenEndOfLife)."
      : `The token's own life ends ${endOfLife > now ? `in ${inWords(endOfLife - now)}` : "in the past"}, at ${rfc3339(endOfLife)}${change.duration ? "; the longer duration moves it at the next `pulumi up`" : ""}.`;
  const until = deployBefore(change.previousSecretExpiresAt ?? "");
  const next = change.secretVersion
    ? [
        until > now
          ? `Next: \`pulumi preview\` shows one update; \`pulumi up\`, before ${rfc3339(until)}, issues the new secret.`
          : "Next: SLM_NETWORK_FORCE_ROTATION=1 `pulumi up` issues the new secret; without the variable it refuses, since less than an hour is left.",
        "Then, while the old one still works: `pulumi stack output serviceTokens --show-secrets`, and give the server the new one.",
      ]
    : ["Next: `pulumi up`."];
  return [`${server} in the stack ${stack}:`, ...lines, life, ...next].join("\n");
}

async function rotateTunnel(stack: string, json: boolean): Promise<void> {
  // The secret goes through standard input: other users of the machine can read command lines.
  const ran = await runPulumi(["config", "set", "--secret", "tunnelSecret", "--stack", stack], {
    input: randomBytes(32).toString("base64"),
  });
  if (ran.code !== 0)
    throw new Refusal(`\`pulumi config set --secret tunnelSecret\` ended with ${ran.code}: ${ran.stderr}`);
  if (json) return console.log(JSON.stringify({ stack, tunnelSecret: "new" }));
  console.log(
    [
      `The stack ${stack} has a new tunnelSecret, encrypted.`,
      "Next: `pulumi up`. It changes the tunnel, then hands over to a new connector on the Mac; running requests are answered.",
    ].join("\n"),
  );
}
