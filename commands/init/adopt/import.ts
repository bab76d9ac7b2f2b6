/** Runs `pulumi import`. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { Refusal } from "../../errors.ts";
import { project, runPulumi } from "../../pulumi-cli.ts";
import type { Deployed, importFile } from "./import-file.ts";

const stateSchema = z.object({
  deployment: z
    .object({
      resources: z.array(z.object({ urn: z.string(), type: z.string(), id: z.string().optional() })).optional(),
    })
    .nullish(),
});

/** @param json printed by `pulumi stack export` @returns the resources in the state */
export const readDeployed = (json: string): Deployed[] =>
  stateSchema.parse(JSON.parse(json)).deployment?.resources ?? [];

/** `cloudflare` → `6.22.1`, of package.json. */
export async function packageVersions(): Promise<Record<string, string>> {
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(await readFile(join(project, "package.json"), "utf8")));
  return Object.fromEntries(
    Object.entries(dependencies).flatMap(([name, version]) =>
      name.startsWith("@pulumi/") ? [[name.slice("@pulumi/".length), version]] : [],
    ),
  );
}

/** Brings resources into the state. Changes nothing in the accounts. @throws Refusal with what Pulumi printed */
export async function importResources(stack: string, content: ReturnType<typeof importFile>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "slm-import-"));
  try {
    const file = join(folder, "import.json");
    await writeFile(file, JSON.stringify(content, null, 2));
    const args = ["import", "--file", file, "--stack", stack, "--yes", "--generate-code=false"];
    const ran = await runPulumi(args);
    if (ran.code === 0) return;
    throw new Refusal(
      `\`pulumi import\` ended with ${ran.code}; nothing in the accounts was changed:\n${ran.stdout}${ran.stderr}`,
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
