/** Runs one check of the doctor on recorded answers. */
import type { Answer, Answers, Check, Context, Result } from "../../../commands/doctor/check.ts";
import { jobsSchema, limitsSchema } from "../../../runtime/limits-config.ts";

export const said = (stdout: string, exitCode = 0): Answer => ({ exitCode, stdout, stderr: "" });
export const refusedBy = (stderr: string): Answer => ({ exitCode: 1, stdout: "", stderr });

export const ollama = { kind: "ollama", url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" } as const;

/** A stack's config, as far as checks read it. */
export const context = (change: object = {}): Context =>
  ({
    mac: { name: "studio", user: "deploy", ports: { relay: 1, admin: 2, connector: 3 } },
    model: ollama,
    limits: limitsSchema.parse({}),
    jobs: jobsSchema.parse({}),
    documents: { store: "atlas" },
    expectColo: [],
    directServers: ["backend"],
    ...change,
  }) as unknown as Context;

/** @throws when the check does not apply, or concludes about several things */
export function evaluate<K extends string>(check: Check<K>, answers: Answers<K>, change: object = {}): Result {
  const result = check.evaluate(answers, context(change));
  if (!result) throw new Error(`${check.name} does not apply`);
  if (!("level" in result)) throw new Error(`${check.name} has ${result.length} conclusions`);
  return result;
}
