/** The provider's operations on a Mac, over one SSH session. */
import { readFile } from "node:fs/promises";
import {
  type InstallReport,
  inspectCommand,
  installReportSchema,
  type MacState,
  parseMacState,
} from "../../runtime/installer/mac-state.ts";
import { type Auth, type MacTarget, openSession } from "../../ssh/session.ts";
import type { MacInputs } from "./record.ts";
import {
  asRoot,
  asUser,
  dataScript,
  installScript,
  missingScript,
  removeScript,
  sendScript,
  uploadName,
} from "./scripts.ts";

/** Milliseconds after which a command counts as stuck; it may go on, and the installer's lock makes the next run wait. */
const timeouts = { inspect: 60_000, send: 600_000, install: 900_000, remove: 300_000 };

/** An open session on a Mac. */
export interface MacSession {
  /** Reads its state; changes nothing. */
  inspect(): Promise<MacState>;
  /** Sends what is missing there, installs, and waits until the relay can serve and the connector is connected. */
  install(inputs: MacInputs, installation: string): Promise<{ report: InstallReport; text: string }>;
  /** @returns the installer's message; a removal with another installation's id does nothing and reports it */
  remove(installation: string | undefined, removeData: boolean): Promise<string>;
  /** The relay's data that lies there. @throws Error when this key may not list it */
  data(): Promise<{ name: string; bytes: number }[]>;
  close(): Promise<void>;
}

/** Opens one. @param connectMs longest wait for each host on the way, in ms. @throws SessionError */
export type OpenMac = (target: MacTarget, connectMs?: number) => Promise<MacSession>;

/** @param auth default: the key file of SLM_NETWORK_SSH_KEY, else the SSH agent. @throws SessionError */
export async function openMacSession(target: MacTarget, connectMs?: number, auth?: Auth): Promise<MacSession> {
  const session = await openSession(target, auth, connectMs);
  const run = async (what: string, command: string, timeoutMs: number, stdin: string | Buffer = "") => {
    const { exitCode, stdout, stderr } = await session.run(command, { timeoutMs, stdin });
    // The command's own text is left out: it is long, and says nothing to a person.
    if (exitCode !== 0)
      throw new Error(`${what} on ${target.host} failed (exit code ${exitCode}): ${(stderr || stdout).trim()}`);
    return stdout.trim();
  };
  return {
    inspect: async () => parseMacState(await run("reading the Mac's state", inspectCommand, timeouts.inspect)),
    install: async (inputs, installation) => {
      await session.checkSudo();
      await sendMissing(inputs, run);
      const { release, node, uploads, input } = inputs;
      const words = [release.sha256, uploads ? "uploaded" : node.url, node.sha256, installation];
      const text = await run("installing", asRoot(installScript, ...words), timeouts.install, JSON.stringify(input));
      return { report: installReportSchema.parse(JSON.parse(text)), text };
    },
    remove: async (installation, removeData) => {
      await session.checkSudo();
      const words = [
        ...(installation === undefined ? [] : ["--installation", installation]),
        ...(removeData ? ["--data"] : []),
      ];
      return run("removing", asRoot(removeScript, ...words), timeouts.remove);
    },
    data: async () => {
      const lines = (await run("listing the relay's data", asRoot(dataScript), timeouts.inspect)).split("\n");
      // A key with a forced command gets another program's output.
      if (lines.pop() !== "end") throw new Error(`the relay's data on ${target.host} could not be listed`);
      return lines.flatMap((line) => {
        const [, name, bytes] = /^(.+) (\d+)$/.exec(line) ?? [];
        return name === undefined ? [] : [{ name, bytes: Number(bytes) }];
      });
    },
    close: () => session.close(),
  };
}

/** An upload is removed once it is installed, and what was unpacked may have been removed by hand: then it is sent again. */
async function sendMissing(
  { release, uploads, input }: MacInputs,
  run: (what: string, command: string, timeoutMs: number, stdin?: Buffer) => Promise<string>,
): Promise<void> {
  const archives = [{ kind: "release", ...release, name: uploadName(release.sha256, "tar") }];
  for (const kind of uploads ? (["node", "cloudflared"] as const) : []) {
    const { path } = uploads![kind];
    const sha256 = kind === "node" ? uploads!.node.sha256 : input.cloudflared.sha256;
    archives.push({ kind, path, sha256, name: uploadName(sha256, "tgz") });
  }
  const words = archives.flatMap(({ kind, sha256, name }) => [kind, sha256, name]);
  const missing = (await run("looking for the archives", asUser(missingScript, ...words), timeouts.inspect)).split(
    "\n",
  );
  for (const { path, sha256, name } of archives) {
    if (!missing.includes(sha256)) continue;
    await run(`sending ${path}`, asUser(sendScript, name), timeouts.send, await readFile(path));
  }
}
