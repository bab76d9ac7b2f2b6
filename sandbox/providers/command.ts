/**
 * Stand-in for the official `command` plugin 1.2.1 where that cannot be had: real processes, real SSH sessions. Run by the
 * engine as `node command.ts <engine address>`.
 */
import { copyToRemote } from "./command-copy.ts";
import { localCommand, localRun } from "./command-local.ts";
import { remoteCommand } from "./command-remote.ts";
import { pinnedVersion } from "./pinned.ts";
import { runProvider } from "./server.ts";

await runProvider<unknown>({
  name: "command",
  version: pinnedVersion("command"),
  config: {},
  configure: () => undefined,
  resources: [localCommand, remoteCommand, copyToRemote],
  functions: [localRun],
});
