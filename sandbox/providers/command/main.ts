/**
 * The emulated `command` plugin 1.2.1, with real processes and real SSH sessions. The engine runs it as `node main.ts
 * <engine address>`.
 */

import { pinnedVersion } from "../pinned.ts";
import { runProvider } from "../plugin/server.ts";
import { copyToRemote } from "./copy-to-remote.ts";
import { localCommand, localRun } from "./local.ts";
import { remoteCommand } from "./remote.ts";

await runProvider<unknown>({
  name: "command",
  version: pinnedVersion("command"),
  config: {},
  configure: () => undefined,
  resources: [localCommand, remoteCommand, copyToRemote],
  functions: [localRun],
});
