/** `npm run pulumi -- …`: Pulumi with the variables of `.env` and this checkout's Node. All arguments are Pulumi's own. */
import { spawn } from "node:child_process";
import { readEnvFile } from "../env-file.ts";
import { notInstalled, project } from "../pulumi-cli.ts";

readEnvFile();
const child = spawn("pulumi", process.argv.slice(2), { cwd: project, stdio: "inherit" });
// Ctrl-C reaches Pulumi from the terminal; it finishes what is in progress, and this process waits for it.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.once("error", () => {
  console.error(notInstalled().message);
  process.exitCode = 2;
});
child.once("close", (code) => {
  process.exitCode ??= code ?? 1;
});
