/** `npm run callers -- <server>`: prints ready-made snippets for the clients that people use. Reads only. */
import { z } from "zod";
import { type Command, parseCommand, runCommand, stackOption } from "../cli.ts";
import { UsageError } from "../errors.ts";
import { readMacSettings } from "../mac-settings.ts";
import { runPulumi } from "../pulumi-cli.ts";
import { readConfig } from "../stack.ts";
import { CLIENTS, headingOf, snippetOf } from "./snippets.ts";
import { valuesFor } from "./values.ts";

const command = {
  name: "callers",
  summary:
    `Prints ready-made snippets with which clients call as one of access.servers. Reads only. ` +
    `Clients: ${CLIENTS.map(({ name }) => name).join(", ")}; without any, all of them. ` +
    "A single client's snippet goes to standard output by itself, so that it can be saved as it is.",
  operands: "<server> [client…]",
  options: {
    "show-secret": { type: "boolean", default: false, help: "print the client secret too; by default it is left out" },
    road: {
      type: "string",
      value: "ROAD",
      help: "direct or public; default: direct where the server has a direct line",
    },
    model: { type: "string", value: "NAME", help: "the model; default: the first of model.allowed, else my-model" },
    ...stackOption,
  },
  examples: [
    ["npm run callers -- backend", "every client, for the server backend"],
    ["npm run -s callers -- backend curl --show-secret > call.sh", "one snippet, with the secret, into a file"],
  ],
} as const satisfies Command;

const outputsSchema = z.object({
  route: z.object({ callers: z.string().optional() }).optional(),
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })),
});
const singleHeaderSchema = z.looseObject({ singleHeader: z.string().optional() });

async function callers(args: readonly string[]): Promise<void> {
  const { values: options, positionals } = parseCommand(command, args);
  const [server, ...names] = positionals;
  if (server === undefined) {
    throw new UsageError("which server? `npm run callers -- backend`, with a name of access.servers.");
  }
  const chosen = names.length === 0 ? CLIENTS : names.map(clientOf);
  const settings = await readMacSettings(options.stack);
  const { outputs, singleHeader, servedAt } = await readStack(settings.stack);
  const { "show-secret": showSecret, road, model } = options;
  const values = valuesFor(
    { server, road, model, showSecret },
    { settings, singleHeader, tokens: outputs.serviceTokens, callers: outputs.route?.callers, servedAt },
  );
  const [only] = chosen;
  if (chosen.length === 1 && only !== undefined) {
    for (const line of headingOf(only, values)) console.error(`# ${line}`);
    process.stdout.write(snippetOf(only, values));
    return;
  }
  for (const client of chosen) {
    console.log(
      headingOf(client, values)
        .map((line) => `# ${line}`)
        .join("\n"),
    );
    console.log(`\n${snippetOf(client, values)}`);
  }
}

function clientOf(name: string) {
  const found = CLIENTS.find((client) => client.name === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `no snippet for ${JSON.stringify(name)}: there are ${CLIENTS.map((one) => one.name).join(", ")}.`,
  );
}

/** @throws UsageError */
async function readStack(stack: string) {
  const ask = async (...args: string[]): Promise<string> => {
    const ran = await runPulumi([...args, "--json", "--show-secrets", "--stack", stack]);
    if (ran.code !== 0) throw new UsageError(`the stack ${stack} cannot be read: ${ran.stderr}`);
    return ran.stdout;
  };
  const outputs = outputsSchema.safeParse(JSON.parse(await ask("stack", "output")));
  if (!outputs.success) throw new UsageError("the stack has no service tokens yet: run `pulumi up` first.");
  const config = readConfig(await ask("config"));
  const access = singleHeaderSchema.parse(JSON.parse(config.get("slm-network:access") ?? "{}"));
  return { outputs: outputs.data, singleHeader: access.singleHeader, servedAt: config.get("sandbox:url") };
}

await runCommand(command, callers);
