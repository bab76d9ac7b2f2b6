/** Installs the emulated provider plugins where the engine looks for them. */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { pinnedVersion } from "./pinned.ts";

/** The emulated providers; the program of each is `<name>/main.ts`. */
export const providerNames = ["cloudflare", "mongodbatlas", "command"] as const;

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** The content of the plugin's executable. Pure. */
export function launcher(nodePath: string, program: string): string {
  return `#!/bin/sh\nexec ${quote(nodePath)} ${quote(program)} "$@"\n`;
}

/**
 * Writes `$PULUMI_HOME/plugins/resource-<name>-v<version>/pulumi-resource-<name>` for each provider, at the version its
 * package in node_modules asks for. Running it again changes nothing; a launcher is replaced by rename.
 * @param pulumiHome absolute path of the engine's home, created if missing
 * @param nodePath absolute path of the node that runs the plugins
 */
export function installProviders(pulumiHome: string, nodePath: string): void {
  for (const [name, value] of Object.entries({ pulumiHome, nodePath })) {
    if (!isAbsolute(value))
      throw new Error(`${name} ${JSON.stringify(value)} is not absolute: the engine runs plugins elsewhere`);
  }
  for (const name of providerNames) {
    const directory = join(pulumiHome, "plugins", `resource-${name}-v${pinnedVersion(name)}`);
    const file = join(directory, `pulumi-resource-${name}`);
    const text = launcher(nodePath, join(import.meta.dirname, name, "main.ts"));
    if (read(file) === text) {
      chmodSync(file, 0o755);
      continue;
    }
    mkdirSync(directory, { recursive: true });
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, text, { mode: 0o755 });
    renameSync(temporary, file);
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
