/** `bin/inspect`: prints the Mac's state by the installer of the release in use, and what it can when that is gone. */
import { dirname, join } from "node:path";
import { ensureFolder, writeFileAtomic } from "./files.ts";
import type { Layout } from "./layout.ts";
import { emptyState } from "./mac-state.ts";

/** The command that an account may run as root to read the state, and nothing else. */
export async function ensureInspectCommand(paths: Layout): Promise<void> {
  const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const { current, inspectCommand, root } = paths;
  const [node, installer] = [quote(join(current, "bin/node")), quote(join(current, "installer.mjs"))];
  const text = `#!/bin/sh
# Prints the state of slm-network on this Mac. Changes nothing.
${root === "/" ? "PATH=/usr/bin:/bin:/usr/sbin:/sbin; export PATH\n" : ""}if [ -x ${node} ] && [ -f ${installer} ]; then
  exec ${node} ${installer} inspect --root ${quote(root)}
fi
${emptyState("the installation has no Node or no installer any more: run pulumi up")}
`;
  await ensureFolder(dirname(inspectCommand), { owner: "root:wheel", mode: 0o755 });
  await writeFileAtomic(inspectCommand, text, { owner: "root:wheel", mode: 0o755 });
}
