/** SSH to a Mac through Cloudflare, from outside the office: `cloudflared access tcp`. */
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { UsageError } from "../errors.ts";
import type { MacEntry } from "../mac-settings.ts";

/** Environment variable with the tunnel's local end: commands and the Pulumi program then connect there. */
export const atVariable = "SLM_NETWORK_SSH_AT";
const local = "127.0.0.1:2222";

/**
 * The `cloudflared` command for one connection over its standard streams. It reads a service token from TUNNEL_SERVICE_TOKEN_ID
 * and TUNNEL_SERVICE_TOKEN_SECRET; a person signs in with the browser that it opens.
 * @throws UsageError when the Mac has no entry through the tunnel
 */
export function tunnelCommand(mac: MacEntry): string[] {
  const hostname = mac.sshThroughTunnel?.hostname;
  if (hostname === undefined) {
    throw new UsageError(
      `${mac.name} has no SSH entry through the tunnel, which is off by default. Set in the stack file: macs[].sshThroughTunnel: { hostname: ssh.<zone>, emails: [you@example.com] }, then \`pulumi up\` from the office`,
    );
  }
  return ["cloudflared", "access", "tcp", "--hostname", hostname];
}

/** @returns whether something listens on the port of loopback */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/**
 * Runs a command on this machine while the tunnel's local end is open; SLM_NETWORK_SSH_AT has its address.
 * @returns the command's exit code. @throws UsageError when the end does not open
 */
export async function runHere(mac: MacEntry, command: readonly string[]): Promise<number> {
  const [program = "", ...args] = tunnelCommand(mac);
  const port = Number(local.split(":")[1]);
  if (await listens(port)) throw new UsageError(`${local} is in use by another program: stop it first`);
  const tunnel = spawn(program, [...args, "--url", local], { stdio: ["ignore", "ignore", "inherit"] });
  let failed: string | undefined;
  tunnel.once("error", (error) => {
    failed = `cloudflared cannot be run (${error.message}). Install it: https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/`;
  });
  tunnel.once("exit", (code) => {
    failed ??= `cloudflared ended with ${code}; its message is above`;
  });
  try {
    for (let waited = 0; !(await listens(port)); waited += 100) {
      if (failed !== undefined || waited > 30_000) throw new UsageError(failed ?? `${local} did not open within 30 s`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return await runProgram(command, { [atVariable]: local });
  } finally {
    tunnel.kill("SIGTERM");
  }
}

/** Runs a program with this one's standard streams. @returns its exit code @throws UsageError when it cannot be started */
export function runProgram(command: readonly string[], environment: Record<string, string> = {}): Promise<number> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...process.env, ...environment } });
    child.once("error", (error) => reject(new UsageError(`\`${program}\` cannot be run: ${error.message}`)));
    child.once("exit", (code) => resolve(code ?? 1));
  });
}
