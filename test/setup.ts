/** Before any test: the tools that tests run for real. Downloaded, installed or built once (minutes), then taken from where they are. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureOpenSsh } from "../sandbox/tools/openssh.ts";
import { ensureTools } from "../sandbox/tools/tools.ts";

export default async function setup(): Promise<void> {
  const log = (line: string) => console.log(line);
  // A run of all tests needs the real model server at its end: it is built beside everything else, once for a machine.
  if (process.env.CI || process.env.npm_lifecycle_event === "test") {
    const program = join(import.meta.dirname, "../sandbox/tools/real/build-ahead.ts");
    spawn(process.execPath, [program], { detached: true, stdio: "ignore" }).unref();
  }
  process.env.SSHD = ensureOpenSsh(log);
  const tools = await ensureTools(log);
  process.env.CLOUDFLARED_BIN = tools.cloudflared;
}
