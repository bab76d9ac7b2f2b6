/**
 * `npm run bench:documents`: 2,000 requests for 50 documents of 4 companies, 100 at once, with the cache and without; calls
 * to the model, and how long a hit and a miss take. The sandbox's model server embeds; the store is SQLite. `--json`.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Registry } from "prom-client";
import { jobsSchema, limitsSchema } from "../../runtime/limits-config.ts";
import { createAdmission } from "../../runtime/relay/admission/admission.ts";
import { createDocuments } from "../../runtime/relay/documents/documents.ts";
import { createBreaker } from "../../runtime/relay/model/breaker.ts";
import { createLog } from "../../runtime/relay/telemetry/log.ts";
import { startModelServer } from "../../sandbox/model/server.ts";

const [requests, count, companies, width] = [2000, 50, 4, 100];
const caller = { name: "bench", clientId: "bench.access", companies: ["*"], weight: 1, enabled: true };
const sentence = "계약의 당사자는 신의에 따라 성실히 이행하며 대금은 매월 말일에 지급하기로 한다. ";
const textOf = (i: number): string => `문서 ${i}. ${sentence.repeat(200)}`;

async function run(cached: boolean) {
  const dataDir = await mkdtemp(join(tmpdir(), "slm-bench-"));
  const model = await startModelServer({ port: 0, log: () => {} });
  const registry = new Registry();
  const documents = createDocuments(
    {
      dataDir,
      callers: [caller],
      jobs: jobsSchema.parse({ minFreeMiB: 0 }),
      model: { kind: "ollama", url: model.url, embeddingModel: "bge-m3" },
      documents: { store: "embedded", ttlDays: 30 },
    },
    {},
    {
      registry,
      log: createLog({ write: () => {} }),
      admission: createAdmission(limitsSchema.parse({ chat: 4, embeddings: 2 })),
      breaker: createBreaker({ probe: async () => true }),
    },
  );
  const took: Record<"hit" | "miss", number[]> = { hit: [], miss: [] };
  let next = 0;
  const since = performance.now();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let n = next++; n < requests; n = next++) {
        const i = (n * 17) % count;
        // Without the cache each request brings a document nobody has seen.
        const key = { company: `회사 ${i % companies}`, title: cached ? `문서 ${i}` : `문서 ${i} ${n}` };
        const begun = performance.now();
        const found = cached ? await documents.lookUp(key, undefined) : "absent";
        if (typeof found === "string") {
          await documents.put({ key, version: undefined, source: { text: textOf(i) }, caller });
        } else await documents.repository.content(found);
        took[typeof found === "string" ? "miss" : "hit"].push(performance.now() - begun);
      }
    }),
  );
  const seconds = (performance.now() - since) / 1000;
  const saw = (await (await fetch(`${model.url}/sandbox/requests`)).json()) as {
    embeddedInputs: number;
  };
  const counted = await registry.getSingleMetric("slm_document_embeddings_total")?.get();
  await documents.close();
  await model.close();
  await rm(dataDir, { recursive: true });
  const at = (times: number[], share: number) =>
    Number((times.sort((a, b) => a - b)[Math.floor(share * (times.length - 1))] ?? Number.NaN).toFixed(2));
  return {
    cached,
    seconds: Number(seconds.toFixed(1)),
    // A set is one call here (each document fits into one); asking for the model's digest is not among them.
    setsOfCalls: counted?.values[0]?.value ?? 0,
    embeddedChunks: saw.embeddedInputs,
    hits: took.hit.length,
    hitMs: { p50: at(took.hit, 0.5), p99: at(took.hit, 0.99) },
    misses: took.miss.length,
    missMs: { p50: at(took.miss, 0.5), p99: at(took.miss, 0.99) },
  };
}

const results = [await run(true), await run(false)];
if (process.argv.includes("--json")) console.log(JSON.stringify(results));
else
  console.table(
    results.map(({ hitMs, missMs, ...rest }) => ({
      ...rest,
      hitP50: hitMs.p50,
      hitP99: hitMs.p99,
      missP50: missMs.p50,
      missP99: missMs.p99,
    })),
  );
