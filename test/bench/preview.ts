/**
 * `npm run bench:preview`: what `pulumi preview` costs with nothing to change, beside an empty TypeScript program under the same
 * engine, language host and Node. Needs a running sandbox (`npm run sandbox -- --detach`). Rounds are interleaved; take the ratios.
 * `--rounds=5`.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { thisInstance } from "../../sandbox/instance.ts";
import { withoutStrays } from "../../sandbox/providers/environment.ts";
import { readReady } from "../../sandbox/ready.ts";
import { median } from "./process.ts";

const project = join(import.meta.dirname, "../..");
const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });

interface Cost {
  readonly wall: number;
  /** Of the engine and all that it starts. */
  readonly cpu: number;
}

/** Runs it under bash' `time`, which counts the children's CPU too. */
async function timed(command: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Cost> {
  const child = spawn("bash", ["-c", 'TIMEFORMAT="%R %U %S"; time "$@" >&2', "bash", ...command], {
    cwd,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const code = await new Promise((resolve, reject) => child.once("error", reject).once("close", resolve));
  const [, wall, user, system] = /(\d+\.\d+) (\d+\.\d+) (\d+\.\d+)\s*$/.exec(said) ?? [];
  if (code !== 0 || wall === undefined) throw new Error(`${command.join(" ")} ended with ${String(code)}:\n${said}`);
  return { wall: Number(wall), cpu: Number(user) + Number(system) };
}

/** A program that declares nothing, in Pulumi's way for TypeScript here. */
async function emptyProject(folder: string): Promise<void> {
  const runtime = "{ name: nodejs, options: { typescript: false } }";
  await writeFile(join(folder, "Pulumi.yaml"), `name: empty\nruntime: ${runtime}\nmain: program.mjs\n`);
  await writeFile(join(folder, "package.json"), '{ "name": "empty", "private": true, "type": "module" }\n');
  await writeFile(join(folder, "program.mjs"), 'export default async () => ({ ...(await import("./index.ts")) });\n');
  await writeFile(
    join(folder, "index.ts"),
    'import * as pulumi from "@pulumi/pulumi";\nexport const stack: string = pulumi.getStack();\n',
  );
  await symlink(join(project, "node_modules"), join(folder, "node_modules"));
  await mkdir(join(folder, "state"));
}

const ready = await readReady(thisInstance());
if (!ready) throw new Error("no sandbox is ready here: start it with `npm run sandbox -- --detach`");
const ours = { ...withoutStrays(process.env), ...ready.environment };
const { bin } = ready.pulumi;
const preview = [bin, "preview", "--non-interactive", "--color=never", "--expect-no-changes"];
const folder = await mkdtemp(join(tmpdir(), "slm-bench-"));
try {
  await emptyProject(folder);
  const empty = { ...ours, PULUMI_BACKEND_URL: `file://${join(folder, "state")}`, PULUMI_STACK: "empty" };
  await timed([bin, "stack", "init", "empty"], folder, empty);
  await timed([bin, "up", "--yes", "--skip-preview", "--non-interactive"], folder, empty);
  const costs = { empty: [] as Cost[], ours: [] as Cost[] };
  // The first of each is not counted: it fills caches.
  for (let round = 0; round <= Number(options.rounds); round++) {
    const [one, other] = [await timed(preview, folder, empty), await timed(preview, project, ours)];
    if (round === 0) continue;
    costs.empty.push(one);
    costs.ours.push(other);
  }
  const of = (kind: keyof typeof costs, measure: keyof Cost) => median(costs[kind].map((cost) => cost[measure]));
  const row = (measure: keyof Cost) => {
    const [one, other] = [of("empty", measure), of("ours", measure)];
    const [first, second, ratio] = [one, other, other / one].map((value) => Number(value.toFixed(2)));
    return { "an empty program, s": first, "slm-network, s": second, ratio };
  };
  console.table({ wall: row("wall"), CPU: row("cpu") });
} finally {
  await rm(folder, { recursive: true, force: true });
}
