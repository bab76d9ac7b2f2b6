/** `bin/inspect`: prints the Mac's state with the installer of the current release, or a minimal state if that is missing. */
import { dirname, join } from "node:path";
import { quote } from "../shell.ts";
import { ensureFolder, writeFileAtomic } from "./files.ts";
import type { Layout } from "./layout.ts";
import { emptyState } from "./mac-state.ts";

/** Writes the command that a read-only account may run as root. */
export async function ensureInspectCommand(paths: Layout): Promise<void> {
  const { current, inspectCommand, root } = paths;
  const [node, installer] = [quote(join(current, "bin/node")), quote(join(current, "installer.mjs"))];
  const text = `#!/bin/sh
# Prints the state of slm-network on this Mac. Changes nothing.
${root === "/" ? "PATH=/usr/bin:/bin:/usr/sbin:/sbin; export PATH\n" : ""}if [ -x ${node} ] && [ -f ${installer} ]; then
  exec ${node} ${installer} inspect --root ${quote(root)}
fi
${emptyState("Node or the installer is missing from the installation: run pulumi up")}
`;
  await ensureFolder(dirname(inspectCommand), { owner: "root:wheel", mode: 0o755 });
  await writeFileAtomic(inspectCommand, text, { owner: "root:wheel", mode: 0o755 });
}
