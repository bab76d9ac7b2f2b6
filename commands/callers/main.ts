/** `npm run callers -- <server>`: prints ready-made snippets for the clients that people use. Reads only. */
import { parseArgs } from "node:util";
import { z } from "zod";
import { isExpected } from "../expected-error.ts";
import { project, readMacSettings } from "../mac-settings.ts";
import { pulumi, readConfig } from "../stack.ts";
import { CLIENTS, headingOf, snippetOf } from "./snippets.ts";
import { CallersError, valuesFor } from "./values.ts";

const usage = `npm run callers -- <server> [client…]     prints how clients call as one of access.servers

  --show-secret   prints the client secret, too                 (default: it is left out)
  --road ROAD     direct or public                              (default: direct where the server has a direct line)
  --model NAME    the model to ask                              (default: the first of model.allowed, else my-model)
  --stack NAME    else PULUMI_STACK, else the selected one

Clients: ${CLIENTS.map(({ name }) => name).join(", ")}; without any, all of them.
With one client only its snippet goes to standard output, so that it can be saved as it is.`;

const outputsSchema = z.object({
  route: z.object({ callers: z.string().optional() }).optional(),
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })),
});
const singleHeaderSchema = z.looseObject({ singleHeader: z.string().optional() });

async function main(): Promise<void> {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "show-secret": { type: "boolean", default: false },
      road: { type: "string" },
      model: { type: "string" },
      stack: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const [server, ...names] = positionals;
  if (options.help || server === undefined) {
    console.log(usage);
    process.exitCode = options.help ? 0 : 2;
    return;
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
  throw new CallersError(
    `no snippet for ${JSON.stringify(name)}: there are ${CLIENTS.map((one) => one.name).join(", ")}.`,
  );
}

/** @throws CallersError */
async function readStack(stack: string) {
  const ask = async (...args: string[]): Promise<string> => {
    const ran = await pulumi(project, ...args, "--json", "--show-secrets", "--stack", stack);
    if (ran.code !== 0)
      throw new CallersError(`the stack ${stack} cannot be read: ${ran.stderr || "is pulumi installed?"}`);
    return ran.stdout;
  };
  const outputs = outputsSchema.safeParse(JSON.parse(await ask("stack", "output")));
  if (!outputs.success) throw new CallersError("the stack has no service tokens yet: run `pulumi up` first.");
  const config = readConfig(await ask("config"));
  const access = singleHeaderSchema.parse(JSON.parse(config.get("slm-network:access") ?? "{}"));
  return { outputs: outputs.data, singleHeader: access.singleHeader, servedAt: config.get("sandbox:url") };
}

try {
  await main();
} catch (error) {
  console.error(isExpected(error) || error instanceof CallersError ? error.message : error);
  process.exitCode = 2;
}
