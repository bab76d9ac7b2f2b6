/** The relay as it is built for the Mac, for what measures it from outside: the bench and the attackers. */
import { join } from "node:path";
import * as tar from "tar";
import { buildRelease } from "../runtime/build.ts";

/** Builds what the Mac gets. @returns the relay's program, in `folder` */
export async function buildRelay(folder: string): Promise<string> {
  const { path } = await buildRelease(folder);
  await tar.extract({ file: path, cwd: folder });
  return join(folder, "relay.mjs");
}
