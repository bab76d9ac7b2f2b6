/** The stack of the sandbox: its config file, the engine's environment, and the engine itself. */
import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parse, stringify } from "yaml";
import { clusterName, hostname, type Identity, type Instance, publicAddress } from "./instance.ts";
import { providerVariables, withoutStrays } from "./providers/environment.ts";
import type { Services } from "./services.ts";
import type { Tools } from "./tools/tools.ts";

/**
 * Every string is quoted: the engine's YAML parses an unquoted time as a timestamp and passes it in another format, which
 * the program refuses.
 */
const quoted = { defaultStringType: "QUOTE_DOUBLE", defaultKeyType: "PLAIN" } as const;
/** The unquoted form of older sandboxes. */
const bareTimestamp = /^\s*[\w-]+: \d{4}-\d\d-\d\d[T ][^"']*$/m;

/** The engine failed; its output is already on the terminal. */
export class EngineError extends Error {
  override name = "EngineError";
  /** Its output. */
  readonly output: string;
  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
}

/** Folders of the engine. */
export const engineFolders = (instance: Instance) => ({
  home: join(instance.folder, "pulumi", "home"),
  state: join(instance.folder, "pulumi", "state"),
});

/** The variables for using plain `pulumi` with this sandbox. */
export function engineEnvironment(
  instance: Instance,
  identity: Identity,
  tools: Tools,
  services: Pick<Services, "cloudflareApi" | "atlasApi" | "edge"> & { mac: Pick<Services["mac"], "agentSocket"> },
): Record<string, string> {
  const { home, state } = engineFolders(instance);
  return {
    // The program and the providers run on this process' Node.
    PATH: [dirname(process.execPath), ...tools.path, process.env.PATH ?? ""].join(":"),
    PULUMI_HOME: home,
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_STACK: instance.stack,
    PULUMI_CONFIG_PASSPHRASE: identity.passphrase,
    PULUMI_SKIP_UPDATE_CHECK: "1",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    ...providerVariables({ ...identity, cloudflareApi: services.cloudflareApi, atlasApi: services.atlasApi }),
    SSH_AUTH_SOCK: services.mac.agentSocket,
    // For `npm run probe` with another stack of this sandbox; its own stack has `sandbox:url`.
    SANDBOX_URL: services.edge.url,
  };
}

/** Runs the engine in the project's folder, its output on this terminal. */
export class Engine {
  readonly #instance: Instance;
  readonly #binary: string;
  readonly #environment: Record<string, string>;

  constructor(instance: Instance, binary: string, environment: Record<string, string>) {
    this.#instance = instance;
    this.#binary = binary;
    this.#environment = environment;
  }

  /**
   * @param options.input its standard input
   * @param options.quiet hides its standard output
   * @returns its standard output
   * @throws EngineError on an exit code other than 0
   */
  run(args: readonly string[], options: { input?: string; quiet?: boolean } = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.#binary, [...args, "--non-interactive", "--color=never"], {
        cwd: this.#instance.project,
        env: { ...withoutStrays(process.env), ...this.#environment },
        stdio: ["pipe", "pipe", "pipe"],
      });
      let printed = "";
      let complained = "";
      child.stderr.setEncoding("utf8").on("data", (text: string) => {
        complained += text;
        process.stderr.write(text);
      });
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        printed += text;
        if (!options.quiet) process.stdout.write(text);
      });
      child.stdin.on("error", () => {}); // it did not read its input; the exit code tells why
      child.stdin.end(options.input ?? "");
      child.once("error", reject);
      child.once("close", (code) => {
        if (code === 0) return resolve(printed);
        reject(
          new EngineError(
            `\`pulumi ${args.join(" ")}\` ended with ${code}${options.quiet ? `: ${printed}` : ""}`,
            `${printed}\n${complained}`,
          ),
        );
      });
    });
  }

  /** Creates the stack if missing. */
  async initialise(): Promise<void> {
    const { home, state } = engineFolders(this.#instance);
    await mkdir(home, { recursive: true, mode: 0o700 });
    await mkdir(state, { recursive: true, mode: 0o700 });
    const known = JSON.parse(await this.run(["stack", "ls", "--json"], { quiet: true })) as { name: string }[];
    if (known.some((stack) => stack.name === this.#instance.stack)) return;
    await rm(this.#instance.stackFile, { force: true }); // of a removed stack, with another salt
    await this.run(["stack", "init", this.#instance.stack], { quiet: true });
  }

  /** Whether the stack's state has resources of a provider. */
  async hasResources(): Promise<boolean> {
    const text = await this.run(["stack", "export"], { quiet: true });
    const { deployment } = JSON.parse(text) as { deployment?: { resources?: { type: string }[] } };
    return (deployment?.resources ?? []).some(({ type }) => /^(cloudflare|mongodbatlas|command):/.test(type));
  }

  /** Writes the stack's config: the content of `Pulumi.<stack>.yaml` for the emulated accounts. */
  async configure(identity: Identity, services: Services): Promise<void> {
    const file = this.#instance.stackFile;
    const text = await readFile(file, "utf8").catch(() => "");
    const before = (parse(text) ?? {}) as { config?: Record<string, unknown>; encryptionsalt?: string };
    const secrets = {
      "slm-network:tunnelSecret": identity.tunnelSecret,
      "slm-network:atlasSchemaPassword": identity.atlasSchemaPassword,
      "slm-network:atlasRelayPassword": identity.atlasRelayPassword,
    };
    const kept = Object.fromEntries(
      // Access too: a rotated secret must not return to its first version.
      [...Object.keys(secrets), "slm-network:access"].flatMap((key) =>
        before.config?.[key] === undefined ? [] : [[key, before.config[key]]],
      ),
    );
    const after = { encryptionsalt: before.encryptionsalt, config: { ...stackConfig(identity, services), ...kept } };
    const isSame =
      JSON.stringify(after) === JSON.stringify({ encryptionsalt: before.encryptionsalt, config: before.config });
    if (!isSame || bareTimestamp.test(text)) {
      await writeFile(file, `# Written by \`npm run sandbox\`.\n${stringify(after, quoted)}`);
    }
    for (const [key, value] of Object.entries(secrets)) {
      if (kept[key] === undefined) await this.run(["config", "set", "--secret", key], { input: value, quiet: true });
    }
  }
}

function stackConfig(identity: Identity, services: Services): Record<string, unknown> {
  const { ports } = identity;
  const { mac, model, artifacts } = services;
  return {
    "cloudflare:baseUrl": services.cloudflareApi,
    "mongodbatlas:baseUrl": services.atlasApi,
    // The address that serves the hostname: `npm run probe` uses it instead of https://<hostname>.
    "sandbox:url": services.edge.url,
    "slm-network:hostname": hostname,
    "slm-network:zoneId": identity.zoneId,
    "slm-network:accountId": identity.accountId,
    "slm-network:protect": false,
    "slm-network:access": {
      servers: [{ name: "backend", companies: ["*"] }],
      people: { emails: ["director@example.com"], operators: ["director@example.com"] },
    },
    "slm-network:alerts": { emails: ["ops@example.com"] },
    "slm-network:macs": [
      {
        name: "studio",
        host: mac.host,
        port: mac.port,
        user: mac.user,
        hostKey: mac.hostKey,
        ports: { relay: ports.relay, admin: ports.relayAdmin, connector: ports.connectorMetrics },
      },
    ],
    "slm-network:model": { kind: model.kind, url: model.url, embeddingModel: model.embeddingModel },
    "slm-network:documents": {
      store: "atlas",
      ttlDays: 30,
      dropData: true,
      atlas: {
        projectId: identity.atlasProjectId,
        cluster: clusterName,
        database: "slm",
        allowFrom: [`${publicAddress}/32`],
      },
    },
    "slm-network:artifacts": {
      node: { url: artifacts.node.url, sha256: artifacts.node.sha256 },
      cloudflared: { url: artifacts.cloudflared.url, sha256: artifacts.cloudflared.sha256 },
    },
  };
}
