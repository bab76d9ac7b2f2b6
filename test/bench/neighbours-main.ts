/** `npm run bench:neighbours`: only what one caller with the longest bodies does to another. In ms; `--seconds=8` of each. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildRelay } from "../built-relay.ts";
import { createAccess } from "./access.ts";
import { neighbours } from "./neighbours.ts";
import { startNode, startRelay, type Target } from "./targets.ts";

const { values: options } = parseArgs({ options: { seconds: { type: "string", default: "8" } } });
const folder = await mkdtemp(join(tmpdir(), "slm-bench-"));
const running: Target[] = [];
try {
  const access = createAccess(6000);
  const model = await startNode("direct", "model.ts");
  running.push(model);
  const relay = await startRelay(folder, await buildRelay(folder), model.url, access);
  running.push(relay);
  const plan = { token: () => access.token(), loudToken: access.loud.token, seconds: Number(options.seconds) };
  console.table(await neighbours(relay, plan));
} finally {
  await Promise.all(running.map((target) => target.stop()));
  await rm(folder, { recursive: true, force: true });
}
