/** Before any test: the tools that tests run for real. Downloaded, installed or built once (minutes), then taken from where they are. */

import { ensureOpenSsh } from "../sandbox/tools/openssh.ts";
import { ensureTools } from "../sandbox/tools/tools.ts";

export default async function setup(): Promise<void> {
  const log = (line: string) => console.log(line);
  process.env.SSHD = ensureOpenSsh(log);
  const tools = await ensureTools(log);
  process.env.CLOUDFLARED_BIN = tools.cloudflared;
}
