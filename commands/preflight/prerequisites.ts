/** Node, Pulumi's command, its backend, the stack, the passphrase, the config: what `up` needs before it asks anybody. */
import { delimiter } from "node:path";
import { type Finding, fail, ok, warn } from "../../accounts/finding.ts";
import { ConfigError, configKeys, readStackConfig, type StackConfig } from "../../config/config.ts";
import { type ConfigText, type Known, pulumi, readConfig, readState, run } from "../stack.ts";

/** What was found, and what the later checks need of it. */
export interface Ground {
  readonly findings: Finding[];
  readonly stack?: string | undefined;
  /** Only when it has passed. */
  readonly config?: StackConfig | undefined;
  /** All keys, those of the providers too. */
  readonly texts?: ConfigText | undefined;
  readonly known?: Known | undefined;
}

/** From here on Node runs TypeScript as it is. @see https://nodejs.org/api/typescript.html */
const leastNode = [22, 18] as const;

/** @param wanted `--stack`, else PULUMI_STACK, else the selected one */
export async function checkGround(project: string, wanted: string | undefined): Promise<Ground> {
  const findings: Finding[] = [...(await nodeFindings(project))];
  const version = await pulumi(project, "version");
  if (version.code !== 0) {
    const todo = "Install it: https://www.pulumi.com/docs/install/ (macOS: brew install pulumi/tap/pulumi)";
    return { findings: [...findings, fail("pulumi.command", "there is no command `pulumi`", todo)] };
  }
  findings.push(ok("pulumi.command", `Pulumi ${version.stdout.split("\n").at(-1)}`));

  const who = await pulumi(project, "whoami");
  if (who.code !== 0) return { findings: [...findings, backendFinding(who.stderr)] };
  findings.push(ok("pulumi.backend", `Pulumi's backend answers (as ${who.stdout})`));

  const stack = wanted ?? process.env.PULUMI_STACK ?? (await pulumi(project, "stack", "--show-name")).stdout;
  if (!stack) {
    const todo = "Make one: `npm run init`; or select one: `pulumi stack select <name>`, `--stack <name>`";
    return { findings: [...findings, fail("pulumi.stack", "no stack is selected", todo)] };
  }
  const exported = await pulumi(project, "stack", "export", "--stack", stack);
  if (exported.code !== 0) return { findings: [...findings, stackFinding(stack, exported.stderr)], stack };
  const known = readState(exported.stdout);
  findings.push(ok("pulumi.stack", `the stack ${stack} has ${known.resources} resources`));
  if (known.unfinished > 0) {
    const says = `an earlier \`up\` of the stack was killed: ${known.unfinished} creations are unfinished`;
    findings.push(fail("pulumi.unfinished", says, "`pulumi cancel`, then `npm run recover` (docs/sandbox.md)"));
  }
  const got = await pulumi(project, "config", "--json", "--show-secrets", "--stack", stack);
  if (got.code !== 0) return { findings: [...findings, passphraseFinding(got.stderr)], stack, known };
  const texts = readConfig(got.stdout);
  return { ...configFindings(texts, stack, findings), stack, texts, known };
}

/** `pulumi up` typed by hand takes the Node on PATH; under `npm run` the project's own comes first. */
async function nodeFindings(project: string): Promise<Finding[]> {
  const id = "node";
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => !/node_modules[\\/]\.bin/.test(folder));
  const plain = await run("node", ["--version"], project, { ...process.env, PATH: path.join(delimiter) });
  const version = plain.code === 0 ? plain.stdout : undefined;
  if (enough(version ?? "")) return [ok(id, `Node ${version}`)];
  if (!enough(process.version)) {
    const says = `Node is ${process.version}, and runs TypeScript from ${leastNode.join(".")} on`;
    return [fail(id, says, "`npm ci` brings Node 24 along for `npm run …`; or install it from https://nodejs.org")];
  }
  const says = `Node is ${process.version} here, but ${version ?? "there is none"} on PATH, which a plain \`pulumi up\` would take`;
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
      "Pulumi does not know where the stack's state is kept",
      "`pulumi login` (Pulumi's service), or a folder or bucket of your own: `pulumi login file://~/slm-state`, `pulumi login s3://<bucket>`",
    );
  }
  return fail(id, `Pulumi's backend does not answer: ${said}`, "See `pulumi whoami -v`, and PULUMI_BACKEND_URL");
}

function stackFinding(stack: string, said: string): Finding {
  if (/no stack named/.test(said)) {
    const todo = `\`pulumi stack ls\` shows those that are there; a new one: \`npm run init -- --stack ${stack}\``;
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
      "the passphrase is not the stack's",
      "PULUMI_CONFIG_PASSPHRASE must be the one the stack was made with; without it its secrets are lost, and a new stack has to be made",
    );
  }
  if (/passphrase must be set/.test(said)) {
    return fail(
      id,
      "there is no passphrase for the stack's secrets",
      "export PULUMI_CONFIG_PASSPHRASE=… (or PULUMI_CONFIG_PASSPHRASE_FILE=<file>), the one the stack was made with",
    );
  }
  return fail(id, `the stack's config cannot be read: ${said}`, "See `pulumi config`");
}

/** Every fault of the config, by the program's own schema. */
export function configFindings(
  texts: ConfigText,
  stack: string,
  before: readonly Finding[] = [],
): { findings: Finding[]; config?: StackConfig } {
  const file = `Pulumi.${stack.split("/").at(-1)}.yaml`;
  try {
    const config = readStackConfig({ get: (key) => texts.get(`slm-network:${key}`) });
    const unknown = [...texts.keys()].filter((key) => key.startsWith("slm-network:") && !isKnown(key));
    const odd = unknown.map((key) =>
      warn(
        "config",
        `${key} is not a known setting, and nothing reads it`,
        `Take it out of ${file}, or correct its name`,
      ),
    );
    return { findings: [...before, ok("config", `${file} has no faults`), ...odd], config };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { findings: [...before, ...error.problems.map((fault) => fail("config", fault, `Mend it in ${file}`))] };
  }
}

const isKnown = (key: string): boolean => configKeys.some((known) => key === `slm-network:${known}`);
