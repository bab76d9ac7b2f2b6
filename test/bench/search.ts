/** `npm run bench:search`: exact cosine over 10,000 chunks of 1,024 dimensions, in milliseconds. `--json` for machines. */
import { lengthsOf, nearest } from "../../runtime/relay/documents/vectors.ts";

const [chunks, dimensions, runs, k] = [10_000, 1024, 200, 10];
const vectors = Float32Array.from({ length: chunks * dimensions }, () => Math.random() - 0.5);
const searchable = { vectors, dimensions, lengths: lengthsOf(vectors, dimensions) };
const query = () => Float32Array.from({ length: dimensions }, () => Math.random() - 0.5);

for (let i = 0; i < 10; i++) nearest(searchable, query(), k); // the compiler warms up
const cpu = process.cpuUsage();
const times = Array.from({ length: runs }, () => {
  const asked = query();
  const since = performance.now();
  nearest(searchable, asked, k);
  return performance.now() - since;
}).sort((a, b) => a - b);
const used = process.cpuUsage(cpu); // what other programs on the machine take is not in it
const at = (share: number) => Number((times[Math.floor(share * (runs - 1))] ?? Number.NaN).toFixed(2));
const cpuMs = Number(((used.user + used.system) / 1000 / runs).toFixed(2));
const result = { chunks, dimensions, k, runs, cpuMs, bestMs: at(0), medianMs: at(0.5), p90Ms: at(0.9), worstMs: at(1) };
if (process.argv.includes("--json")) console.log(JSON.stringify(result));
else
  console.log(
    `${chunks} chunks × ${dimensions}: ${result.cpuMs} ms of CPU; median ${result.medianMs} ms, p90 ${result.p90Ms} ms, best ${result.bestMs} ms, worst ${result.worstMs} ms`,
  );
