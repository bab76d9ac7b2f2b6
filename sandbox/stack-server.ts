/** A company's server beside the sandbox, for the direct line of a stack: a real sshd with ports of its own. */
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Instance } from "./instance.ts";
import type { Log } from "./log.ts";
import { claimPort } from "./machine/ports.ts";
import type { Reaper } from "./machine/reaper.ts";
import { type CompanyServer, startCompanyServer } from "./server/company-server.ts";
import { ensureOpenSsh } from "./tools/openssh.ts";

/** The content of `company-server.json` in the sandbox's folder: what the stack's config says for a line to it. */
export const stackServerSchema = z.object({
  /** An entry of `route.direct`. */
  direct: z.object({
    server: z.string(),
    host: z.string(),
    port: z.int(),
    user: z.string(),
    hostKey: z.string(),
    listen: z.string(),
  }),
  /** For `macs[].ports`: server and Mac share this machine's loopback. */
  ports: z.object({ direct: z.int() }),
  /** The folder on this machine that is its root. */
  root: z.string(),
});

/** Path of its descriptor file. */
export const stackServerFile = (instance: Pick<Instance, "folder">): string =>
  join(instance.folder, "company-server.json");

/**
 * Starts it on its former ports where they are free, with what was installed on it, and writes `company-server.json`.
 * @throws Error when there is no OpenSSH, or sshd does not start
 */
export async function startStackServer(
  instance: Pick<Instance, "folder">,
  options: { reaper: Reaper; log: Log },
): Promise<CompanyServer> {
  const sshd = ensureOpenSsh(options.log);
  const file = stackServerFile(instance);
  const former = await readFile(file, "utf8").then(
    (text) => stackServerSchema.parse(JSON.parse(text)),
    () => undefined,
  );
  const port = await claimPort(former?.direct.port);
  const listen = await claimPort(former === undefined ? undefined : Number(former.direct.listen.split(":")[1]));
  const relay = await claimPort(former?.ports.direct);
  const dir = join(instance.folder, "company-server");
  await mkdir(dir, { recursive: true });
  await chmod(dir, 0o755); // sshd reads keys as the account
  const server = await startCompanyServer({ ...options, dir, port, sshd });
  const { host, user, hostKey, root } = server;
  const told: z.infer<typeof stackServerSchema> = {
    direct: { server: "backend", host, port, user, hostKey, listen: `127.0.0.1:${listen}` },
    ports: { direct: relay },
    root,
  };
  await writeFile(`${file}.new`, `${JSON.stringify(told, null, 2)}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return server;
}
