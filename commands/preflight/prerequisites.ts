/** What `up` needs on this machine: Node, the Pulumi CLI, its backend, the stack, the passphrase, a valid config. */
import { delimiter } from "node:path";
import type { Finding } from "../../accounts/finding.ts";
import { ConfigError, configKeys, readStackConfig, type StackConfig } from "../../config/config.ts";
import { type Ran, run, stackFileName } from "../pulumi-cli.ts";
import { type ConfigText, type Known, readConfig, readState } from "../stack.ts";
import { fail, ok, warn } from "./messages.ts";

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
  if (version.code !== 0) return { findings: [...findings, fail("pulumi.command", (say) => say.pulumi.none())] };
  findings.push(ok("pulumi.command", (say) => say.pulumi.version(version.stdout.split("\n").at(-1) ?? "")));

  const who = await pulumi("whoami");
  if (who.code !== 0) return { findings: [...findings, backendFinding(who.stderr)] };
  findings.push(ok("pulumi.backend", (say) => say.pulumi.backend(who.stdout)));

  const stack = wanted ?? process.env.PULUMI_STACK ?? (await pulumi("stack", "--show-name")).stdout;
  if (!stack) return { findings: [...findings, fail("pulumi.stack", (say) => say.stack.notSelected())] };
  const exported = await pulumi("stack", "export", "--stack", stack);
  if (exported.code !== 0) return { findings: [...findings, stackFinding(stack, exported.stderr)], stack };
  const known = readState(exported.stdout);
  findings.push(ok("pulumi.stack", (say) => say.stack.ok(stack, known.resources)));
  if (known.unfinished > 0) {
    findings.push(fail("pulumi.unfinished", (say) => say.stack.unfinished(known.unfinished)));
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
  if (version !== undefined && enough(version)) return [ok(id, (say) => say.node.ok(version))];
  const least = leastNode.join(".");
  const here = process.version;
  if (!enough(here)) return [fail(id, (say) => say.node.old(here, least))];
  return [warn(id, (say) => (version ? say.node.plainOld(here, version, least) : say.node.plainNone(here, least)))];
}

/** @param version `v24.1.0` */
export function enough(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
}

function backendFinding(said: string): Finding {
  const id = "pulumi.backend";
  if (/PULUMI_ACCESS_TOKEN must be set/.test(said)) return fail(id, (say) => say.pulumi.notLoggedIn());
  return fail(id, (say) => say.pulumi.backendSilent(said));
}

function stackFinding(stack: string, said: string): Finding {
  if (/no stack named/.test(said)) return fail("pulumi.stack", (say) => say.stack.none(stack));
  if (/passphrase/.test(said)) return passphraseFinding(said);
  return fail("pulumi.stack", (say) => say.stack.unreadable(stack, said));
}

function passphraseFinding(said: string): Finding {
  const id = "pulumi.passphrase";
  if (/incorrect passphrase/.test(said)) return fail(id, (say) => say.stack.wrongPassphrase());
  if (/passphrase must be set/.test(said)) return fail(id, (say) => say.stack.noPassphrase());
  return fail(id, (say) => say.stack.configUnreadable(said));
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
    const odd = unknown.map((key) => warn("config", (say) => say.config.unknownKey(key, file)));
    return { findings: [...before, ok("config", (say) => say.config.ok(file)), ...odd], config };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      findings: [...before, ...error.problems.map((fault) => fail("config", (say) => say.config.problem(fault, file)))],
    };
  }
}

const isKnown = (key: string): boolean => configKeys.some((known) => key === `slm-network:${known}`);
