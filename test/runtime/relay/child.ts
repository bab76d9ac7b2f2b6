/** Runs the relay as a process of its own, as launchd does. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { onTestFinished } from "vitest";
import type { RelayConfig, RelaySecrets } from "../../../runtime/config.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";

const MAIN = join(import.meta.dirname, "../../../runtime/relay/main.ts");

export interface RelayProcess {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[];
  readonly stderr: () => string;
  /** The first log line for which `is` holds. Rejects when the process ends before. */
  line(is: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
  /** Its exit code. */
  readonly exit: Promise<number | null>;
}

/** Starts `main.ts` (or another build of it) with files written into `folder`; killed when the test has ended. */
export async function runRelay(
  folder: string,
  config: RelayConfig | string,
  env: Record<string, string> = {},
  main = MAIN,
  args: readonly string[] = [],
  secrets: RelaySecrets = {},
): Promise<RelayProcess> {
  const files = [join(folder, "relay.json"), join(folder, "secrets.json")] as const;
  await writeFile(files[0], typeof config === "string" ? config : JSON.stringify(config));
  await writeFile(files[1], JSON.stringify(secrets));
  const child = spawn(process.execPath, [main, "--config", files[0], "--secrets", files[1], ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exit = once(child, "close").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => {
    stderr += data.toString();
  });
  const lines: Record<string, unknown>[] = [];
  const waiting = new Set<() => void>();
  createInterface({ input: child.stdout }).on("line", (text) => {
    lines.push(JSON.parse(text) as Record<string, unknown>);
    for (const look of waiting) look();
  });
  return {
    child,
    lines,
    stderr: () => stderr,
    exit,
    line: (is) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines.find(is);
          if (found === undefined) return;
          waiting.delete(look);
          resolve(found);
        };
        waiting.add(look);
        look();
        void exit.then((code) => reject(new Error(`the relay ended with ${code}: ${stderr}`)));
      }),
  };
}

/** Two ports for a relay: its files, unlike `startRelay`, take no 0. */
export async function freePorts(): Promise<{ port: number; adminPort: number }> {
  return { port: await claimPort(), adminPort: await claimPort() };
}
