/** Parts of commands that several checks run on the Mac. */
import { isLoopback } from "../../runtime/loopback.ts";
import type { MacSettings } from "../mac-settings.ts";

/** Prefix of the product's own paths: empty on a real Mac, a folder in the sandbox. */
export const root = '"$SLM_NETWORK_ROOT"';
/** The installed Node. */
export const node = `${root}/usr/local/slm-network/current/bin/node`;
export const curl = "curl -sS --max-time 10";
/** Power settings by power source. */
export const powerSettings = "pmset -g custom";
export const autoLoginUser = "defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser";

/** @returns the model server's port when it runs on the Mac itself */
export function localModelPort({ url }: Pick<MacSettings["model"], "url">): string | undefined {
  const { hostname, port, protocol } = new URL(url);
  return isLoopback(hostname) ? port || (protocol === "https:" ? "443" : "80") : undefined;
}

/** Prints the process id of what listens on a port. */
export const listenerOf = (port: string): string => `sudo -n lsof -nP -iTCP:${port} -sTCP:LISTEN -t`;

/** @param stdout of `listenerOf`; undefined when nothing listens */
export function firstProcess(stdout: string | undefined): number | undefined {
  const pid = Number((stdout ?? "").trim().split("\n")[0] || Number.NaN);
  return Number.isNaN(pid) ? undefined : pid;
}

/** How to see the end of a log on the Mac. @param file below /var/log/slm-network */
export const tailOf = (file: string): string => `\`npm run ssh -- tail -n 50 /var/log/slm-network/${file}\``;
