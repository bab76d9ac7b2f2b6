/** Reads the relay's two files and collects every problem in them. */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { z } from "zod";
import {
  alertProblems,
  type RelayConfig,
  type RelaySecrets,
  relayConfigSchema,
  relaySecretsSchema,
} from "../config.ts";
import { jobSlotsProblem, limitsProblems } from "../limits-config.ts";
import { candidates, journalOf, readJournal, setThatCounts } from "../replacement-journal.ts";
import { quotaProblems } from "../usage-config.ts";

/** The files are invalid. `problems` has a message for an operator each. */
export class InvalidSettings extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** What the relay runs with. */
export interface Settings {
  readonly config: RelayConfig;
  readonly secrets: RelaySecrets;
  /** An installation was interrupted while it replaced its files: which of the two sets these settings are. */
  readonly interrupted?: "new" | "former";
}

/**
 * Reads and checks both files. While an installation replaces them, or was interrupted while it did (a power cut), both come
 * from the set that belongs to this program's release.
 * @param program real path of the running program, in its release's folder
 * @throws InvalidSettings with all problems at once; values of secrets are never shown
 */
export async function readSettings(
  configFile: string,
  secretsFile: string,
  program = import.meta.filename,
): Promise<Settings> {
  const journal = await readJournal(journalOf(configFile));
  const interrupted = journal && setThatCounts(journal, join("releases", basename(dirname(program))));
  const config = await readOne(configFile, relayConfigSchema, true, interrupted);
  const secrets = await readOne(secretsFile, relaySecretsSchema, false, interrupted);
  const problems = [...config.problems, ...secrets.problems];
  if (config.value !== undefined)
    problems.push(...configProblems(config.value).map((fault) => `${configFile}: ${fault}`));
  if (config.value !== undefined && secrets.value !== undefined)
    problems.push(...alertProblems(config.value, secrets.value).map((fault) => `${configFile}: ${fault}`));
  if (problems.length > 0 || config.value === undefined || secrets.value === undefined)
    throw new InvalidSettings(problems);
  return { config: config.value, secrets: secrets.value, ...(interrupted && { interrupted }) };
}

interface Read<T> {
  readonly value?: T;
  readonly problems: readonly string[];
}

/** The content of a file of this set: beside the file while it is not in place. */
async function textOf(file: string, set: "new" | "former" | undefined): Promise<string> {
  if (set === undefined) return readFile(file, "utf8");
  const [beside = file] = candidates(file, set);
  try {
    return await readFile(beside, "utf8");
  } catch {
    return readFile(file, "utf8");
  }
}

async function readOne<T>(
  file: string,
  schema: z.ZodType<T>,
  show: boolean,
  set: "new" | "former" | undefined,
): Promise<Read<T>> {
  let text: string;
  try {
    text = await textOf(file, set);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    return { problems: [`${file} cannot be read: ${why}. The installer writes it; run \`pulumi up\` again.`] };
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    // The parser's message quotes the text.
    const why = show && cause instanceof Error ? `: ${cause.message}` : "";
    return { problems: [`${file} is not JSON${why}. The installer writes it; run \`pulumi up\` again.`] };
  }
  const parsed = schema.safeParse(json, { reportInput: show });
  if (parsed.success) return { value: parsed.data, problems: [] };
  return {
    problems: parsed.error.issues.map((issue) => {
      const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
      const where = path.replace(/^\./, "") || "the whole file";
      const is = show && issue.input !== undefined ? ` is ${JSON.stringify(issue.input).slice(0, 120)}` : "";
      return `${file}: ${where}${is}: ${issue.message}`;
    }),
  };
}

/** Problems that a schema of single fields cannot find: values that contradict each other. */
export function configProblems(config: RelayConfig): string[] {
  const problems: string[] = [];
  if (config.port === config.adminPort) {
    problems.push(`port and adminPort are both ${config.port}: give them different numbers`);
  }
  if (/\/v1\/*$/.test(new URL(config.model.url).pathname)) {
    problems.push(`model.url is ${JSON.stringify(config.model.url)}: leave out the /v1, the relay adds it`);
  }
  if (config.fallback !== undefined && /\/v1\/*$/.test(new URL(config.fallback.url).pathname)) {
    problems.push(`fallback.url is ${JSON.stringify(config.fallback.url)}: leave out the /v1, the relay adds it`);
  }
  const jobSlots = jobSlotsProblem(config.limits, config.jobs.slots);
  if (jobSlots !== undefined) problems.push(`jobs.slots: ${config.jobs.slots} ${jobSlots}`);
  const { servers, people, metrics } = config.access.audiences;
  if (metrics === servers || metrics === people) {
    problems.push(
      `access.audiences.metrics is that of another application too: ${JSON.stringify(metrics)}; they are three applications`,
    );
  }
  if (servers === people) {
    problems.push(
      `access.audiences.servers and .people are both ${JSON.stringify(servers)}: they are two applications`,
    );
  }
  problems.push(...lineProblems(config));
  const enabled = config.callers.filter((caller) => caller.enabled);
  for (const { field, problem } of limitsProblems(config.limits, enabled.length)) {
    problems.push(`limits.${field} is ${String(config.limits[field])}: ${problem}`);
  }
  const names = config.callers.map(({ name }) => name);
  for (const { path, value, problem } of quotaProblems(config.limits, names)) {
    problems.push(`limits.${path.join(".")} is ${JSON.stringify(value)}: ${problem}`);
  }
  const seen = new Map<string, string>();
  for (const { name, clientId } of [...config.callers, ...(config.scrapers ?? [])]) {
    const other = seen.get(clientId);
    if (other !== undefined) {
      problems.push(
        `callers "${other}" and "${name}" have the same clientId ${clientId}: give each its own service token`,
      );
    }
    seen.set(clientId, name);
  }
  return problems;
}

function lineProblems({ port, adminPort, direct, callers }: RelayConfig): string[] {
  const taken = new Map([
    [port, "port"],
    [adminPort, "adminPort"],
  ]);
  return (direct?.lines ?? []).flatMap(({ server, port: linePort }, index) => {
    const problems: string[] = [];
    const other = taken.get(linePort);
    if (other !== undefined) problems.push(`direct.lines[${index}].port and ${other} are both ${linePort}`);
    taken.set(linePort, `direct.lines[${index}].port`);
    if (!callers.some(({ name }) => name === server)) {
      problems.push(`direct.lines[${index}].server is ${JSON.stringify(server)}, which is not a caller`);
    }
    return problems;
  });
}
