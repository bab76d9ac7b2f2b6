/** The flags of `npm run init`. */
import { parseArgs } from "node:util";
import { InitRefusal } from "../refusal.ts";

export const usage = `npm run init                    asks what it cannot find out, and writes Pulumi.<stack>.yaml
npm run init -- --yes           asks nothing: takes the flags, and what is the only choice
npm run init -- --adopt         takes over what is there already under the wanted names (docs/ngrok.md)

  --stack NAME              the stack; else PULUMI_STACK, else prod
  --account ID|NAME         of Cloudflare's accounts
  --zone ID|NAME            of the account's zones
  --hostname NAME           else the first free of slm.<zone>, slm-2.<zone>, …
  --server NAME             the server that may call (backend)
  --people A@B,C@D          who may open /status
  --alerts A@B,C@D          who is told when the tunnel is down
  --mac-host, --mac-port, --mac-user      how the Mac is reached (22, deploy)
  --host-key KEY            its key or fingerprint (SHA256:…), as the Mac itself shows it; needed with --yes
  --model-url URL           the model server's address on the Mac; else it is looked for
  --model-kind ollama|openai, --embedding-model NAME
  --store atlas|embedded    where documents are kept; atlas if its keys are in the environment
  --project ID|NAME, --cluster NAME       of Atlas
  --allow-from CIDR,CIDR    who may reach the database; else this machine's address
  --force                   with --yes: changes a file that is there already
  --token SERVER=ID|NAME    with --adopt: the service token that this server uses now, whatever its name`;

/** What was given on the command line. */
export interface Options {
  readonly yes: boolean;
  readonly force: boolean;
  readonly adopt: boolean;
  readonly help: boolean;
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

const text = { type: "string" } as const;
const flag = { type: "boolean", default: false } as const;

/** @throws InitRefusal naming what is wrong */
export function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv = process.env): Options {
  const values = parse(args);
  const port = values["mac-port"];
  if (port !== undefined && !/^\d{1,5}$/.test(port)) {
    throw new InitRefusal(`--mac-port is ${JSON.stringify(port)}: it must be a number, e.g. 22`);
  }
  const tokens = values.token.map((one): [string, string] => {
    const [server, token, ...more] = one.split("=");
    if (server && token && more.length === 0) return [server, token];
    throw new InitRefusal(
      `--token is ${JSON.stringify(one)}: write the server and its token, e.g. backend=old-backend`,
    );
  });
  return {
    yes: values.yes,
    force: values.force,
    adopt: values.adopt,
    help: values.help,
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

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        yes: flag,
        force: flag,
        adopt: flag,
        help: { ...flag, short: "h" },
        stack: text,
        account: text,
        zone: text,
        hostname: text,
        server: text,
        people: text,
        alerts: text,
        "mac-host": text,
        "mac-port": text,
        "mac-user": text,
        "host-key": text,
        "model-url": text,
        "model-kind": text,
        "embedding-model": text,
        store: text,
        project: text,
        cluster: text,
        "allow-from": text,
        token: { type: "string", multiple: true, default: [] },
      },
    }).values;
  } catch (error) {
    throw new InitRefusal(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}

/** `a, b` → `["a", "b"]`; an empty text is an empty list. */
export function listOf(given: string): string[];
export function listOf(given: string | undefined): string[] | undefined;
export function listOf(given: string | undefined): string[] | undefined {
  return given?.split(/[\s,]+/).filter((part) => part !== "");
}
