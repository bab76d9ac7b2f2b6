/** The workflows, as far as tests check what the documentation promises. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";

const stepSchema = z.object({
  id: z.string().optional(),
  if: z.string().optional(),
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  env: z.record(z.string(), z.string()).default({}),
});
export type Step = z.infer<typeof stepSchema>;

const concurrencySchema = z.object({ group: z.string(), "cancel-in-progress": z.boolean() });

const jobSchema = z.object({
  if: z.string().optional(),
  "runs-on": z.union([z.string(), z.object({ group: z.string() })]),
  environment: z.string().optional(),
  "timeout-minutes": z.number(),
  permissions: z.record(z.string(), z.string()).optional(),
  concurrency: concurrencySchema.optional(),
  /** Secrets of a whole job would reach steps that do not need them. */
  env: z.undefined().optional(),
  steps: z.array(stepSchema),
});

const workflowSchema = z.object({
  on: z.record(z.string(), z.unknown()),
  permissions: z.record(z.string(), z.string()),
  concurrency: concurrencySchema.optional(),
  /** As in a job. */
  env: z.undefined().optional(),
  jobs: z.record(z.string(), jobSchema),
});

export type Job = z.infer<typeof jobSchema>;

export const workflowFolder = join(import.meta.dirname, "../../.github/workflows");

/** @param name e.g. `preview` for `.github/workflows/preview.yml` */
export async function workflow(name: string): Promise<z.infer<typeof workflowSchema>> {
  return workflowSchema.parse(parse(await readFile(join(workflowFolder, `${name}.yml`), "utf8")));
}

/** @returns the only step that uses pulumi/actions. @throws when there is not exactly one */
export function pulumiStep({ steps }: Job): Step {
  const found = steps.filter(({ uses }) => uses?.startsWith("pulumi/actions@"));
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} steps use pulumi/actions, expected one`);
  return found[0];
}
