/**
 * A daemon of the emulated Mac whose process the sandbox runs itself: the model server, which serves both Macs and outlives
 * power cuts. launchctl lists it as loaded; the emulated launchd neither starts nor stops it.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "plist";

export interface OutsideDaemon {
  label: string;
  /** Process id on this machine. */
  pid: number;
  /** `EnvironmentVariables` of its plist. */
  environment: Record<string, string>;
}

/** The label of the sandbox's own model server. */
export const modelServerLabel = "sandbox.model-server";

/** Writes the model server's plist, disabled so that launchd does not load it at boot; removes it without a daemon. Blocking. */
export function writeOutsideDaemon(root: string, daemon: OutsideDaemon | undefined): void {
  const file = join(root, "Library/LaunchDaemons", `${modelServerLabel}.plist`);
  rmSync(file, { force: true });
  if (daemon === undefined) return;
  const plist = {
    Label: daemon.label,
    Disabled: true,
    ProgramArguments: [process.execPath],
    EnvironmentVariables: daemon.environment,
  };
  writeFileSync(file, build(plist), { mode: 0o644 });
}
