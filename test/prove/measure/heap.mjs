/**
 * Loaded into the relay (--import) for the soak and the malformed requests: collects all garbage when the file PROVE_HEAP holds another number,
 * and writes that number and the bytes that are still used into PROVE_HEAP + ".held". What is used then is not garbage, so two
 * such values can be compared. The main thread only: V8 collects each thread's heap on its own. Needs `--expose-gc`, which the
 * relay has (`RELAY_NODE_FLAGS`).
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const file = process.env.PROVE_HEAP;
if (file !== undefined && isMainThread && globalThis.gc !== undefined) {
  let done = "";
  const look = () => {
    try {
      const asked = readFileSync(file, "utf8");
      if (asked === done || asked === "") return;
      // In a tick, as runtime/relay/heap.ts says.
      process.nextTick(() => {
        // Twice: what buffers held is freed by the second one.
        for (let time = 0; time < 2; time += 1) globalThis.gc({ type: "major", execution: "sync" });
        const { heapUsed, external } = process.memoryUsage();
        try {
          writeFileSync(`${file}.new`, JSON.stringify({ asked, heapUsed, external }));
          renameSync(`${file}.new`, `${file}.held`);
          done = asked;
        } catch {
          // No descriptor is free: the next look tries again.
        }
      });
    } catch {
      // Nothing was asked yet.
    }
  };
  setInterval(look, 100).unref();
}
