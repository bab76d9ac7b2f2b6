/** Before any test: the tools that tests run for real. Downloaded or built once (minutes), then taken from the cache. */
import { ensureTools } from "../sandbox/tools/tools.ts";

export default async function setup(): Promise<void> {
  const tools = await ensureTools((line) => console.log(line));
  process.env.CLOUDFLARED_BIN = tools.cloudflared;
}
