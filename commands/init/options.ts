/** The command line of `npm run init`. */
import { parseCommand } from "../cli.ts";
import { UsageError } from "../errors.ts";

const text = (value: string, help: string) => ({ type: "string", value, help }) as const;
const flag = (help: string) => ({ type: "boolean", default: false, help }) as const;

export const command = {
  name: "init",
  summary: [
    "Finds out what it can, asks the rest, and writes Pulumi.<stack>.yaml with new, encrypted secrets.",
    "Changes nothing in any account and nothing on the Mac.",
  ].join("\n"),
  options: {
    yes: flag("asks nothing: uses the options, and what has only one choice"),
    force: flag("with --yes: changes an existing stack file"),
    adopt: flag("adopts what exists already under the stack's names (docs/ngrok.md)"),
    "local-state": flag("without a Pulumi login: keeps the state in ~/slm-state, and a new passphrase in .env"),
    stack: text("NAME", "default: PULUMI_STACK, else prod"),
    account: text("ID|NAME", "Cloudflare account"),
    zone: text("ID|NAME", "zone of the account"),
    hostname: text("NAME", "default: the first free one of slm.<zone>, slm-2.<zone>, …"),
    server: text("NAME", "the server that may call; default backend"),
    people: text("A@B,C@D", "who may open /status"),
    alerts: text("A@B,C@D", "who gets a mail when the tunnel is down"),
    "mac-host": text("HOST", "the Mac's address or name"),
    "mac-port": text("PORT", "its SSH port; default 22"),
    "mac-user": text("NAME", "its account; default deploy"),
    "host-key": text("KEY", "its host key or fingerprint (SHA256:…), as the Mac prints it; required with --yes"),
    "model-url": text("URL", "the model server's address on the Mac; default: searched for"),
    "model-kind": text("ollama|openai", "kind of model server"),
    "embedding-model": text("NAME", "the model for documents"),
    store: text("atlas|embedded", "where documents are kept; default: atlas if its keys are set"),
    project: text("ID|NAME", "Atlas project"),
    cluster: text("NAME", "Atlas cluster"),
    "allow-from": text("CIDR,CIDR", "who may reach the database; default: this machine's address"),
    token: {
      type: "string",
      value: "SERVER=ID|NAME",
      multiple: true,
      help: "with --adopt: the service token that this server uses now",
    },
  },
  examples: [
    ["npm run init", "asks at the terminal"],
    ["npm run init -- --store embedded --people '' --alerts ''", "the shortest stack"],
    ["npm run init -- --yes --mac-host 192.168.0.20 --host-key SHA256:…", "without questions"],
    ["npm run init -- --adopt", "adopts what was made by hand"],
  ],
  exitCodes: { 0: "written", 1: "refused: nothing was written", 2: "wrong usage, or the Mac could not be reached" },
} as const;

/** The command line, read. */
export interface Options {
  readonly yes: boolean;
  readonly force: boolean;
  readonly adopt: boolean;
  readonly localState: boolean;
  readonly stack: string;
  readonly account?: string | undefined;
  readonly zone?: string | undefined;
  readonly hostname?: string | undefined;
  readonly server?: string | undefined;
  readonly people?: readonly string[] | undefined;
  readonly alerts?: readonly string[] | undefined;
  readonly macHost?: string | undefined;
  readonly macPort?: number | undefined;
  readonly macUser?: string | undefined;
  readonly hostKey?: string | undefined;
  readonly modelUrl?: string | undefined;
  readonly modelKind?: string | undefined;
  readonly embeddingModel?: string | undefined;
  readonly store?: string | undefined;
  readonly project?: string | undefined;
  readonly cluster?: string | undefined;
  readonly allowFrom?: readonly string[] | undefined;
  /** Id or name of a token, by the server that uses it. */
  readonly tokens: ReadonlyMap<string, string>;
}

/** @throws UsageError */
export function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv = process.env): Options {
  const { values } = parseCommand(command, args);
  const port = values["mac-port"];
  if (port !== undefined && !/^\d{1,5}$/.test(port)) {
    throw new UsageError(`--mac-port is ${JSON.stringify(port)}: it must be a number, e.g. 22`);
  }
  const tokens = (values.token ?? []).map((one): [string, string] => {
    const [server, token, ...more] = one.split("=");
    if (server && token && more.length === 0) return [server, token];
    throw new UsageError(`--token is ${JSON.stringify(one)}: write the server and its token, e.g. backend=old-backend`);
  });
  return {
    yes: values.yes,
    force: values.force,
    adopt: values.adopt,
    localState: values["local-state"],
    // A stack's full name may carry an organisation and a project.
    stack: values.stack ?? (environment.PULUMI_STACK || "prod"),
    account: values.account,
    zone: values.zone,
    hostname: values.hostname,
    server: values.server,
    people: listOf(values.people),
    alerts: listOf(values.alerts),
    macHost: values["mac-host"],
    macPort: port === undefined ? undefined : Number(port),
    macUser: values["mac-user"],
    hostKey: values["host-key"],
    modelUrl: values["model-url"],
    modelKind: values["model-kind"],
    embeddingModel: values["embedding-model"],
    store: values.store,
    project: values.project,
    cluster: values.cluster,
    allowFrom: listOf(values["allow-from"]),
    tokens: new Map(tokens),
  };
}

/** `a, b` → `["a", "b"]`; an empty string is an empty list. */
export function listOf(given: string): string[];
export function listOf(given: string | undefined): string[] | undefined;
export function listOf(given: string | undefined): string[] | undefined {
  return given?.split(/[\s,]+/).filter((part) => part !== "");
}
