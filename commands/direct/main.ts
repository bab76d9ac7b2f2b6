/** `npm run direct`: prepares a company's server for its direct line, and shows the stack's lines. */
import { execFile } from "node:child_process";
import { parseArgs, promisify } from "node:util";
import { z } from "zod";
import type { DirectRouteConfig } from "../../config/direct-route.ts";
import { prepareDirectText, removeDirectText } from "../../ssh/prepare-direct.ts";
import { isExpected } from "../expected-error.ts";
import { project, readMacSettings, StackError } from "../mac-settings.ts";

const usage = `npm run direct [-- options]           the direct lines of the stack (route.direct), and their base URLs

  --prepare SERVER     prints one paste for root on that server: account, key, sshd drop-in
  --remove SERVER      prints one paste for root that removes them
  --public-key KEY     the Mac's public key for the line     (default: the stack's output, after \`pulumi up\`)
  --stack NAME         else PULUMI_STACK, else the selected one`;

const outputsSchema = z.object({ directRoutes: z.record(z.string(), z.object({ publicKey: z.string() })).default({}) });

/** @throws StackError when the Mac has not made its key yet */
async function publicKeyOf(server: string, stack: string): Promise<string> {
  const args = ["stack", "output", "--json", "--stack", stack, "--non-interactive"];
  const { stdout } = await promisify(execFile)("pulumi", args, { cwd: project }).catch((error: unknown) => {
    throw new StackError(
      `the stack's outputs cannot be read (${error instanceof Error ? error.message : String(error)})`,
    );
  });
  const key = outputsSchema.parse(JSON.parse(stdout)).directRoutes[server]?.publicKey;
  if (key) return key;
  throw new StackError(
    `the Mac has no key for the direct line of ${server} yet: run \`pulumi up\` first, which makes it there, and then this again`,
  );
}

function lineOf(lines: readonly DirectRouteConfig[], server: string): DirectRouteConfig {
  const found = lines.find((line) => line.server === server);
  if (found) return found;
  const known = lines.map((line) => line.server).join(", ") || "none";
  throw new StackError(`route.direct has no line of ${JSON.stringify(server)}; it has ${known}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      prepare: { type: "string" },
      remove: { type: "string" },
      "public-key": { type: "string" },
      stack: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return console.log(usage);
  const settings = await readMacSettings(values.stack);
  const { direct } = settings.route;
  if (values.prepare !== undefined) {
    const line = lineOf(direct, values.prepare);
    const publicKey = values["public-key"] ?? (await publicKeyOf(line.server, settings.stack));
    if (!/^ssh-ed25519 [A-Za-z0-9+/]+=*( [\w.@-]+)?$/.test(publicKey)) {
      throw new StackError(`--public-key ${JSON.stringify(publicKey)} is not an ed25519 public key`);
    }
    return console.log(prepareDirectText(line, publicKey));
  }
  if (values.remove !== undefined) {
    // The line may be out of the config already: the defaults are what it most likely had.
    const line = direct.find(({ server }) => server === values.remove) ?? {
      user: "slm-direct",
      listen: "127.0.0.1:18400",
    };
    return console.log(removeDirectText(line));
  }
  if (direct.length === 0) return console.log("The stack has no direct lines (route.direct): docs/direct.md");
  for (const { server, user, host, port, listen } of direct) {
    console.log(`${server}: base URL http://${listen} on ${host}; the Mac connects to ${user}@${host}:${port}`);
  }
  console.log("\nWhether they are connected: npm run doctor");
}

try {
  await main();
} catch (error) {
  const isUsage = error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS");
  if (isUsage) console.error(`${error.message}\n\n${usage}`);
  else console.error(isExpected(error) ? error.message : error);
  process.exitCode = 2;
}
