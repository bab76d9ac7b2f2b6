/** Obtains the real model server and its model before they are needed. What fails is told by whoever needs them. */
import { setPriority } from "node:os";
import { ensureServer, ensureWeights } from "./ensure.ts";

if (import.meta.main) {
  setPriority(10); // next to tests, some of which measure time
  await ensureWeights(() => {}).catch(() => {});
  await ensureServer("llama-server", () => {}).catch(() => {});
}
