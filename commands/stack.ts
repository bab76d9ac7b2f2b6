/** The stack as `up` will find it: its name, its config with the secrets, and what its state knows. By Pulumi's own command. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { z } from "zod";
import type { Owned } from "../accounts/collisions.ts";
import { typeToken } from "../config/resource-types.ts";

/** What a command said. */
export interface Ran {
  /** undefined: there is no such command. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, at most a minute; never throws. */
export async function run(command: string, args: readonly string[], cwd: string, env = process.env): Promise<Ran> {
  const child = spawn(command, [...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: 60_000 });
  const ended = new Promise<number | undefined>((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("close", (code) => resolve(code ?? 1));
  });
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout: stdout.trim(), stderr: stderr.replace(/^error: /m, "").trim() };
}

/** Pulumi's command in the project's folder. */
export const pulumi = (project: string, ...args: string[]): Promise<Ran> =>
  run("pulumi", [...args, "--non-interactive", "--color=never"], project);

const configSchema = z.record(z.string(), z.object({ value: z.string().optional(), secret: z.boolean() }));

/** The stack's config by full key, as the program gets it: structured values as JSON text. */
export type ConfigText = ReadonlyMap<string, string>;

/** @throws SyntaxError, ZodError when it is not what `pulumi config --json` prints */
export function readConfig(json: string): ConfigText {
  const entries = Object.entries(configSchema.parse(JSON.parse(json)));
  return new Map(entries.flatMap(([key, { value }]) => (value === undefined ? [] : [[key, value] as const])));
}

const stateSchema = z.object({
  deployment: z
    .object({
      resources: z
        .array(
          z.object({
            type: z.string(),
            id: z.string().optional(),
            inputs: z.record(z.string(), z.unknown()).default({}),
          }),
        )
        .default([]),
      pending_operations: z.array(z.object({ type: z.string() })).nullish(),
    })
    .nullish(),
});

/** What the state knows. */
export interface Known {
  readonly owned: Owned;
  /** Ids of the state's tunnels. */
  readonly tunnelIds: readonly string[];
  readonly resources: number;
  /** An earlier run was killed before it could note what it made. */
  readonly unfinished: number;
}

/** @param json what `pulumi stack export` prints @throws SyntaxError, ZodError */
export function readState(json: string): Known {
  const { deployment } = stateSchema.parse(JSON.parse(json));
  const resources = deployment?.resources ?? [];
  const owned: Owned = (kind, id) =>
    resources.some(
      (one) => one.type === typeToken(kind) && (kind === "databaseUser" ? one.inputs.username === id : one.id === id),
    );
  const unfinished = (deployment?.pending_operations ?? []).filter(({ type }) => type === "creating").length;
  const tunnelIds = resources.flatMap(({ type, id }) => (type === typeToken("tunnel") && id ? [id] : []));
  return { owned, tunnelIds, resources: resources.length, unfinished };
}
