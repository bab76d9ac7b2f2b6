/** The workflows, as far as tests ask what they promise. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";

const stepSchema = z.object({
  uses: z.string().optional(),
  run: z.string().optional(),
  with: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
  env: z.record(z.string(), z.string()).default({}),
});

const jobSchema = z.object({
  if: z.string().optional(),
  "runs-on": z.union([z.string(), z.array(z.string())]),
  environment: z.string().optional(),
  "timeout-minutes": z.number(),
  permissions: z.record(z.string(), z.string()).optional(),
  concurrency: z.object({ group: z.string(), "cancel-in-progress": z.boolean() }).optional(),
  steps: z.array(stepSchema),
});

const workflowSchema = z.object({
  on: z.record(z.string(), z.unknown()),
  permissions: z.record(z.string(), z.string()),
  concurrency: z.object({ group: z.string(), "cancel-in-progress": z.boolean() }).optional(),
  env: z.record(z.string(), z.string()).default({}),
  jobs: z.record(z.string(), jobSchema),
});

export type Job = z.infer<typeof jobSchema>;

/** @param name e.g. `preview` for `.github/workflows/preview.yml` */
export async function workflow(name: string): Promise<z.infer<typeof workflowSchema>> {
  const file = join(import.meta.dirname, "../../.github/workflows", `${name}.yml`);
  return workflowSchema.parse(parse(await readFile(file, "utf8")));
}

/** What a job has pulumi/actions do. @throws when it does not use it once */
export function pulumiStep({ steps }: Job): z.infer<typeof stepSchema> {
  const found = steps.filter(({ uses }) => uses?.startsWith("pulumi/actions@"));
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} steps use pulumi/actions, expected one`);
  return found[0];
}
