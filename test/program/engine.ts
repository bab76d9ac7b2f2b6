/** The real engine on a copy of the program, with nothing of the environment of whoever runs the tests. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { Tools } from "../../sandbox/tools/tools.ts";

/**
 * @param folder has the copy (`program`), the engine's folder (`home`) and the state (`state`)
 * @param environment credentials and base URLs of the emulated clouds
 * @returns what it printed on both streams. Ends after ten minutes at the latest; never throws for its exit code
 */
export function runEngine(
  folder: string,
  tools: Tools,
  environment: Record<string, string>,
  args: readonly string[],
): Promise<{ code: number | null; said: string }> {
  const { NODE_COMPILE_CACHE: cache } = process.env;
  const child = spawn(tools.pulumi, [...args, "--non-interactive", "--color=never"], {
    cwd: join(folder, "program"),
    env: {
      PATH: [dirname(process.execPath), ...tools.path, process.env.PATH].join(":"),
      HOME: folder,
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "for a test",
      PULUMI_SKIP_UPDATE_CHECK: "1",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }),
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 590_000,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, said }));
  });
}
