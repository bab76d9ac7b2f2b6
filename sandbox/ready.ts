/** The published data of a running sandbox: `.sandbox/sandbox.json`, and the printed summary. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { z } from "zod";
import type { Control } from "./control.ts";
import { hostname, type Identity, type Instance } from "./instance.ts";
import { providerVariables, strayVariables } from "./providers/environment.ts";
import type { Services } from "./services.ts";
import type { Engine } from "./stack.ts";
import { engineFolders } from "./stack.ts";
import type { Tools } from "./tools/tools.ts";

const url = z.string();

/** The content of `sandbox.json` (mode 600). */
export const readySchema = z.object({
  /** The address for clients: the edge on loopback, serving the stack's hostname. */
  url,
  hostname: z.string(),
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })),
  cloudflareApi: url,
  atlasApi: url,
  mongodbUri: z.string(),
  /** The relay's own address on the emulated Mac. */
  relay: url,
  model: url,
  chatModel: z.string(),
  embeddingModel: z.string(),
  ssh: z.object({ host: z.string(), port: z.int(), user: z.string(), privateKeyPath: z.string() }),
  /** The folder on this machine that is the Mac's root. */
  macRoot: z.string(),
  pulumi: z.object({
    home: z.string(),
    backend: z.string(),
    stack: z.string(),
    passphrase: z.string(),
    bin: z.string(),
  }),
  control: z.object({ url, token: z.string() }),
  /** File with the emails of the sign-in page. */
  mail: z.string(),
  /** Variables for the plain `pulumi` command. */
  environment: z.record(z.string(), z.string()),
  /** Variables that must be unset: they would direct to real accounts or another Mac. */
  unset: z.array(z.string()).default([]),
  /** The same with read-only credentials, sufficient for `pulumi preview`. */
  previewEnvironment: z.record(z.string(), z.string()),
});

export type Ready = z.infer<typeof readySchema>;

const outputsSchema = z.object({
  tunnelId: z.string(),
  serviceTokens: readySchema.shape.serviceTokens,
});

/** Reads the stack's outputs including secrets. */
export async function stackOutputs(engine: Engine) {
  return outputsSchema.parse(
    JSON.parse(await engine.run(["stack", "output", "--json", "--show-secrets"], { quiet: true })),
  );
}

/** Writes `sandbox.json` atomically. */
export async function writeReady(
  instance: Instance,
  parts: {
    identity: Identity;
    services: Services;
    tools: Tools;
    control: Control;
    environment: Record<string, string>;
    serviceTokens: Ready["serviceTokens"];
  },
): Promise<Ready> {
  const { identity, services, tools, control, environment, serviceTokens } = parts;
  const { home, state } = engineFolders(instance);
  const { host, port, user, privateKeyPath, root } = services.mac;
  // Pull requests are previewed on a machine that cannot reach the Mac.
  const { SSH_AUTH_SOCK: _, ...withoutAgent } = environment;
  const ready: Ready = {
    url: services.edge.url,
    hostname,
    serviceTokens,
    cloudflareApi: services.cloudflareApi,
    atlasApi: services.atlasApi,
    mongodbUri: services.mongodbUri,
    relay: `http://127.0.0.1:${identity.ports.relay}`,
    model: services.model.url,
    chatModel: services.model.chatModel,
    embeddingModel: services.model.embeddingModel,
    ssh: { host, port, user, privateKeyPath },
    macRoot: root,
    pulumi: {
      home,
      backend: `file://${state}`,
      stack: instance.stack,
      passphrase: identity.passphrase,
      bin: tools.pulumi,
    },
    control: { url: control.url, token: control.token },
    mail: instance.mailFile,
    environment,
    unset: [...strayVariables],
    previewEnvironment: {
      ...withoutAgent,
      ...providerVariables({
        cloudflareApi: services.cloudflareApi,
        cloudflareApiToken: identity.cloudflareReadToken,
        atlasApi: services.atlasApi,
        atlasPublicKey: identity.atlasReadPublicKey,
        atlasPrivateKey: identity.atlasReadPrivateKey,
      }),
    },
  };
  await writeFile(`${instance.readyFile}.new`, `${JSON.stringify(ready, null, 2)}\n`, { mode: 0o600 });
  await rename(`${instance.readyFile}.new`, instance.readyFile);
  return ready;
}

/** @returns the running sandbox's file, or undefined when it is not ready */
export async function readReady(instance: Instance): Promise<Ready | undefined> {
  return readFile(instance.readyFile, "utf8").then(
    (text) => readySchema.parse(JSON.parse(text)),
    () => undefined,
  );
}

/** @returns the instructions for accounts without declared resources */
export function whatToDo(stopHint: string): string {
  return [
    "",
    "Ready: accounts and a Mac, nothing declared. Go on as a new user would:",
    "",
    '  eval "$(npm run -s sandbox -- --env)"',
    "  npm run preflight",
    "  npm run up",
    "",
    stopHint,
  ].join("\n");
}

/** @returns the instructions of a ready sandbox */
export function whatToTry(ready: Ready, print: { stopHint: string; curlOptions: string }): string {
  const { stopHint, curlOptions } = print;
  const [token] = Object.values(ready.serviceTokens);
  const headers = [
    `-H 'CF-Access-Client-Id: ${token?.clientId}'`,
    `-H 'CF-Access-Client-Secret: ${token?.clientSecret}'`,
    "-H 'content-type: application/json'",
  ];
  const body = JSON.stringify({
    model: ready.chatModel,
    stream: true,
    messages: [{ role: "user", content: "안녕하세요, 서울 날씨를 알려 주세요." }],
  });
  return [
    "",
    `Ready. ${ready.hostname} is served on ${ready.url}. Try:`,
    "",
    "  # a streamed answer, through edge, Access, tunnel and relay",
    `  curl ${curlOptions}-N ${ready.url}/v1/chat/completions \\`,
    ...headers.map((header) => `    ${header} \\`),
    `    -d '${body}'`,
    "",
    "  # without the token: turned away",
    `  curl ${curlOptions}-i ${ready.url}/v1/models`,
    "",
    "  # the engine itself, in this folder",
    '  eval "$(npm run -s sandbox -- --env)" && pulumi preview',
    "",
    "  # where callers enter, and where the time goes (after the line above)",
    "  npm run -s probe",
    "",
    stopHint,
  ].join("\n");
}
