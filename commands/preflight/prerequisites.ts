/** What `up` needs on this machine: Node, the Pulumi CLI, its backend, the stack, the passphrase, a valid config. */
import { delimiter } from "node:path";
import { type Finding, fail, ok, warn } from "../../accounts/finding.ts";
import { ConfigError, configKeys, readStackConfig, type StackConfig } from "../../config/config.ts";
import { type Ran, run, stackFileName } from "../pulumi-cli.ts";
import { type ConfigText, type Known, readConfig, readState } from "../stack.ts";

/** The findings, and what later checks need of the stack. */
export interface Prerequisites {
  readonly findings: Finding[];
  readonly stack?: string | undefined;
  /** Only when it is valid. */
  readonly config?: StackConfig | undefined;
  /** The config by full key, the providers' keys included. */
  readonly texts?: ConfigText | undefined;
  readonly known?: Known | undefined;
}

/** The first Node that runs TypeScript without a flag. @see https://nodejs.org/api/typescript.html */
const leastNode = [22, 18] as const;

/** The Pulumi CLI, at most a minute. */
const pulumi = (...args: string[]): Promise<Ran> =>
  run("pulumi", [...args, "--non-interactive", "--color=never"], { timeoutMs: 60_000 });

/** @param wanted `--stack`, else PULUMI_STACK, else the selected one */
export async function checkPrerequisites(wanted: string | undefined): Promise<Prerequisites> {
  const findings: Finding[] = [...(await nodeFindings())];
  const version = await pulumi("version");
  if (version.code !== 0) {
    const todo = "Install it: https://www.pulumi.com/docs/install/ (macOS: brew install pulumi/tap/pulumi)";
    return { findings: [...findings, fail("pulumi.command", "the command `pulumi` is not installed", todo)] };
  }
  findings.push(ok("pulumi.command", `Pulumi ${version.stdout.split("\n").at(-1)}`));

  const who = await pulumi("whoami");
  if (who.code !== 0) return { findings: [...findings, backendFinding(who.stderr)] };
  findings.push(ok("pulumi.backend", `Pulumi's backend answers (as ${who.stdout})`));

  const stack = wanted ?? process.env.PULUMI_STACK ?? (await pulumi("stack", "--show-name")).stdout;
  if (!stack) {
    const todo = "Make one: `npm run init`; or select one: `pulumi stack select <name>`, `--stack <name>`";
    return { findings: [...findings, fail("pulumi.stack", "no stack is selected", todo)] };
  }
  const exported = await pulumi("stack", "export", "--stack", stack);
  if (exported.code !== 0) return { findings: [...findings, stackFinding(stack, exported.stderr)], stack };
  const known = readState(exported.stdout);
  findings.push(ok("pulumi.stack", `the stack ${stack} has ${known.resources} resources`));
  if (known.unfinished > 0) {
    const says = `an earlier \`up\` was killed: ${known.unfinished} resources may exist without being recorded`;
    findings.push(fail("pulumi.unfinished", says, "`pulumi cancel`, then `npm run recover` (docs/sandbox.md)"));
  }
  const got = await pulumi("config", "--json", "--show-secrets", "--stack", stack);
  if (got.code !== 0) return { findings: [...findings, passphraseFinding(got.stderr)], stack, known };
  const texts = readConfig(got.stdout);
  return { ...configFindings(texts, stack, findings), stack, texts, known };
}

/** A `pulumi up` typed by hand runs the Node on PATH; under `npm run` the project's own comes first. */
async function nodeFindings(): Promise<Finding[]> {
  const id = "node";
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => !/node_modules[\\/]\.bin/.test(folder));
  const plain = await run("node", ["--version"], { env: { ...process.env, PATH: path.join(delimiter) } });
  const version = plain.code === 0 ? plain.stdout : undefined;
  if (enough(version ?? "")) return [ok(id, `Node ${version}`)];
  if (!enough(process.version)) {
    const says = `Node is ${process.version}; TypeScript needs ${leastNode.join(".")} or later`;
    return [fail(id, says, "`npm ci` installs Node 24 for `npm run …`; or install it from https://nodejs.org")];
  }
  const says = `Node is ${process.version} here, but a plain \`pulumi up\` would run ${version ? `Node ${version}` : "without Node"}`;
  return [warn(id, says, `Use \`npm run up\`, or install Node ${leastNode.join(".")} or later`)];
}

/** @param version `v24.1.0` */
export function enough(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
}

function backendFinding(said: string): Finding {
  const id = "pulumi.backend";
  if (/PULUMI_ACCESS_TOKEN must be set/.test(said)) {
    return fail(
      id,
      "Pulumi is not logged in to a backend for the stack's state",
      "`pulumi login` (Pulumi's service), or a folder or bucket of your own: `pulumi login file://~/slm-state`, `pulumi login s3://<bucket>`",
    );
  }
  return fail(id, `Pulumi's backend does not answer: ${said}`, "See `pulumi whoami -v`, and PULUMI_BACKEND_URL");
}

function stackFinding(stack: string, said: string): Finding {
  if (/no stack named/.test(said)) {
    const todo = `\`pulumi stack ls\` lists the stacks; a new one: \`npm run init -- --stack ${stack}\``;
    return fail("pulumi.stack", `there is no stack ${JSON.stringify(stack)} in this backend`, todo);
  }
  if (/passphrase/.test(said)) return passphraseFinding(said);
  return fail("pulumi.stack", `the stack ${stack} cannot be read: ${said}`, "See `pulumi stack`");
}

function passphraseFinding(said: string): Finding {
  const id = "pulumi.passphrase";
  if (/incorrect passphrase/.test(said)) {
    return fail(
      id,
      "the passphrase is not the one of this stack",
      "PULUMI_CONFIG_PASSPHRASE must be the one that the stack was created with (docs/state.md if it is lost)",
    );
  }
  if (/passphrase must be set/.test(said)) {
    return fail(
      id,
      "the passphrase for the stack's secrets is not set",
      "Put PULUMI_CONFIG_PASSPHRASE=… into .env (or PULUMI_CONFIG_PASSPHRASE_FILE=<file>): the one that the stack was created with",
    );
  }
  return fail(id, `the stack's config cannot be read: ${said}`, "See `pulumi config`");
}

/** All problems of the config, by the program's own schema. */
export function configFindings(
  texts: ConfigText,
  stack: string,
  before: readonly Finding[] = [],
): { findings: Finding[]; config?: StackConfig } {
  const file = stackFileName(stack);
  try {
    const config = readStackConfig({ get: (key) => texts.get(`slm-network:${key}`) });
    const unknown = [...texts.keys()].filter((key) => key.startsWith("slm-network:") && !isKnown(key));
    const odd = unknown.map((key) =>
      warn(
        "config",
        `${key} is not a setting of slm-network; nothing reads it`,
        `Remove it from ${file}, or correct its name`,
      ),
    );
    return { findings: [...before, ok("config", `${file} is valid`), ...odd], config };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { findings: [...before, ...error.problems.map((fault) => fail("config", fault, `Fix it in ${file}`))] };
  }
}

const isKnown = (key: string): boolean => configKeys.some((known) => key === `slm-network:${known}`);
