/** `npm run direct`: prepares a company's server for its direct line, and shows the stack's lines. */
import { z } from "zod";
import type { DirectRouteConfig } from "../../config/direct-route.ts";
import { prepareDirectText, removeDirectText } from "../../ssh/prepare-direct.ts";
import { jsonOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { Refusal, UsageError } from "../errors.ts";
import { readMacSettings } from "../mac-settings.ts";
import { runPulumi } from "../pulumi-cli.ts";

const command = {
  name: "direct",
  summary: [
    "Shows the stack's direct lines (route.direct) with their base URLs, or prints the paste that prepares a server for its line.",
    "Changes nothing itself: the paste is for root on that server.",
  ].join("\n"),
  options: {
    prepare: {
      type: "string",
      value: "SERVER",
      help: "prints one paste for root on that server: account, key, sshd drop-in",
    },
    remove: { type: "string", value: "SERVER", help: "prints one paste for root that removes them" },
    "public-key": {
      type: "string",
      value: "KEY",
      help: "the Mac's public key for the line; default: the stack's output, after `pulumi up`",
    },
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run direct", "the lines, and what their callers use as base URL"],
    ["npm run -s direct -- --prepare backend", "the paste for the server backend"],
    ["npm run -s direct -- --remove backend", "the paste that undoes it"],
  ],
  exitCodes: {
    0: "shown or printed",
    1: "refused: the Mac has no key for the line yet",
    2: "the stack could not be read, or wrong usage",
  },
} as const;

const outputsSchema = z.object({ directRoutes: z.record(z.string(), z.object({ publicKey: z.string() })).default({}) });

/** @throws UsageError when the outputs cannot be read; Refusal when the Mac has not made its key yet */
async function publicKeyOf(server: string, stack: string): Promise<string> {
  const { code, stdout, stderr } = await runPulumi(["stack", "output", "--json", "--stack", stack]);
  if (code !== 0) throw new UsageError(`the stack's outputs cannot be read (${stderr || stdout})`);
  const key = outputsSchema.parse(JSON.parse(stdout)).directRoutes[server]?.publicKey;
  if (key) return key;
  throw new Refusal(
    `the Mac has no key for the direct line of ${server} yet: run \`pulumi up\` first, which makes it there, and then this again`,
  );
}

/** @throws UsageError when the stack has no such line */
function lineOf(lines: readonly DirectRouteConfig[], server: string): DirectRouteConfig {
  const found = lines.find((line) => line.server === server);
  if (found) return found;
  const known = lines.map((line) => line.server).join(", ") || "none";
  throw new UsageError(`route.direct has no line of ${JSON.stringify(server)}; it has ${known}`);
}

await runCommand(command, async (args) => {
  const { values } = parseCommand(command, args);
  if (values.prepare !== undefined && values.remove !== undefined) {
    throw new UsageError("--prepare and --remove exclude each other");
  }
  const { stack, route } = await readMacSettings(values.stack);
  const lines = route.direct;
  if (values.prepare !== undefined) {
    const line = lineOf(lines, values.prepare);
    const publicKey = values["public-key"] ?? (await publicKeyOf(line.server, stack));
    if (!/^ssh-ed25519 [A-Za-z0-9+/]+=*( [\w.@-]+)?$/.test(publicKey)) {
      throw new UsageError(`--public-key ${JSON.stringify(publicKey)} is not an ed25519 public key`);
    }
    return show({ stack, server: line.server, paste: prepareDirectText(line, publicKey) }, values.json);
  }
  if (values.remove !== undefined) {
    // The line may be out of the config already: the defaults are what it most likely had.
    const line = lines.find(({ server }) => server === values.remove) ?? {
      user: "slm-direct",
      listen: "127.0.0.1:18400",
    };
    return show({ stack, server: values.remove, paste: removeDirectText(line) }, values.json);
  }
  if (values.json) {
    const shown = lines.map(({ server, user, host, port, listen }) => ({
      server,
      baseUrl: `http://${listen}`,
      user,
      host,
      port,
    }));
    return console.log(JSON.stringify({ stack, lines: shown }, null, 2));
  }
  if (lines.length === 0) return console.log("The stack has no direct lines (route.direct): docs/direct.md");
  for (const { server, user, host, port, listen } of lines) {
    console.log(`${server}: base URL http://${listen} on ${host}; the Mac connects to ${user}@${host}:${port}`);
  }
  console.log("\nWhether they are connected: npm run doctor");
});

function show(
  result: { readonly stack: string; readonly server: string; readonly paste: string },
  json: boolean,
): void {
  console.log(json ? JSON.stringify(result, null, 2) : result.paste);
}
