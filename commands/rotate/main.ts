/**
 * `npm run rotate -- <server>`: writes a rotation of a server's secret into the stack file; `npm run rotate -- tunnel` makes
 * a new secret for the tunnel. Neither changes anything at Cloudflare: the next `pulumi up` does.
 */
import { randomBytes } from "node:crypto";
import { readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { deployedSecretOf, type Engine, endOfLifeOf, selectedStack, setSecret } from "../pulumi.ts";
import { durationMs, inWords, rfc3339 } from "./durations.ts";
import { deployBefore, plan, Refusal, type ServerSettings, type Wish } from "./plan.ts";
import { readServer, writeServer } from "./stack-file.ts";
import { checkWritten } from "./validate.ts";

const usage = `npm run rotate -- <server>            a new secret at the next \`pulumi up\`; the old one works 7 days longer
npm run rotate -- tunnel              a new secret for the tunnel (also makes the first one)

  --overlap 7d    how long the old secret works: s, m, h, d, w; 2h or more
  --extend        no new secret; only moves the end of the overlap (a pull request that waited too long)
  --prolong       no new secret; a year more for the token itself
  --force         a rotation inside an overlap, or with an overlap under two hours
  --stack NAME    else PULUMI_STACK, else the selected one`;

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      overlap: { type: "string", default: "7d" },
      extend: { type: "boolean", default: false },
      prolong: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      stack: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [name, ...more] = positionals;
  if (values.help) return console.log(usage);
  if (!name || more.length > 0) throw new Refusal(`say what is to be rotated\n\n${usage}`);
  const engine: Engine = { project: join(import.meta.dirname, "../.."), command: "pulumi" };
  const stack = values.stack ?? process.env.PULUMI_STACK ?? (await selectedStack(engine));
  if (name === "tunnel") return rotateTunnel(engine, stack);

  if (values.extend && values.prolong)
    throw new Refusal("--extend and --prolong are two things: do one after the other");
  const overlapMs = durationMs(values.overlap);
  if (!overlapMs)
    throw new Refusal(`--overlap is ${JSON.stringify(values.overlap)}: write a length of time, e.g. 7d or 36h`);
  const what = values.extend ? "extend" : values.prolong ? "prolong" : "rotate";
  await rotateServer(engine, stack, name, { what, overlapMs, force: values.force });
}

/** A stack's full name may carry an organisation and a project. */
const fileOf = ({ project }: Engine, stack: string) => join(project, `Pulumi.${stack.split("/").at(-1)}.yaml`);

async function rotateServer(
  engine: Engine,
  stack: string,
  server: string,
  asked: Pick<Wish, "what" | "overlapMs" | "force">,
): Promise<void> {
  const file = fileOf(engine, stack);
  const text = await readFile(file, "utf8").catch(() => {
    throw new Refusal(`${file} cannot be read: is ${JSON.stringify(stack)} the right stack? (--stack)`);
  });
  const before = readServer(text, server);
  const now = Date.now();
  const [endOfLife, deployed] = await Promise.all([
    endOfLifeOf(engine, stack, server),
    deployedSecretOf(engine, stack, server),
  ]);
  const change = plan(server, before, { ...asked, now, endOfLife, deployed });
  const written = writeServer(text, server, change);
  checkWritten(written, server, change);
  await replace(file, written);
  console.log(report(stack, server, before, change, { now, endOfLife }));
}

async function replace(file: string, text: string): Promise<void> {
  const beside = `${file}.${process.pid}`;
  await writeFile(beside, text, { mode: (await stat(file)).mode & 0o777 });
  await rename(beside, file);
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
      ? "The end of the token's own life is not known here (pulumi stack output serviceTokenEndOfLife)."
      : `The token's own life ends ${endOfLife > now ? `in ${inWords(endOfLife - now)}` : "in the past"}, at ${rfc3339(endOfLife)}${change.duration ? "; the longer duration moves it at the next `pulumi up`" : ""}.`;
  const until = deployBefore(change.previousSecretExpiresAt ?? "");
  const next = change.secretVersion
    ? [
        until > now
          ? `Next: \`pulumi preview\` shows one update; \`pulumi up\`, before ${rfc3339(until)}, issues the new secret.`
          : "Next: SLM_NETWORK_FORCE_ROTATION=1 `pulumi up` issues the new secret; without the variable it refuses, since less than an hour is left.",
        "Then, while the old one still works: pulumi stack output serviceTokens --show-secrets, and into the server with it.",
      ]
    : ["Next: `pulumi up`."];
  return [`${server} in the stack ${stack}:`, ...lines, life, ...next].join("\n");
}

async function rotateTunnel(engine: Engine, stack: string): Promise<void> {
  await setSecret(engine, stack, "tunnelSecret", randomBytes(32).toString("base64"));
  console.log(
    [
      `tunnelSecret in the stack ${stack} is a new one, encrypted.`,
      "Next: `pulumi up`. It changes the tunnel and then hands over to a new connector on the Mac; running requests are answered.",
    ].join("\n"),
  );
}

try {
  await main();
} catch (error) {
  const isUsage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  console.error(error instanceof Refusal ? error.message : isUsage ? `${error.message}\n\n${usage}` : error);
  process.exitCode = 1;
}
