/** Obtains the real model server and its model before they are needed. What fails is told by whoever needs them. */
import { ensureServer, ensureWeights } from "./ensure.ts";

if (import.meta.main) {
  await ensureWeights(() => {}).catch(() => {});
  await ensureServer("llama-server", () => {}).catch(() => {});
}
