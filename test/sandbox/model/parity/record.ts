/**
 * `npm run record:models [-- ollama | llama-server]`: starts the real servers and records every case. The only way in which
 * recordings change. Takes the servers from where the sandbox has them; builds them first where it must.
 */
import { writeFileSync } from "node:fs";
import { REAL_MODEL, startRealModel } from "../../../../sandbox/model/real.ts";
import { ensureServer, versionOf } from "../../../../sandbox/tools/real/ensure.ts";
import { llamaServer, ollama } from "../../../../sandbox/tools/real/recipes.ts";
import { LLAMA_CASES, OLLAMA_CASES, OPENAI_CASES } from "./cases.ts";
import { type Exchange, exchange } from "./exchange.ts";
import { type Recording, recordingFile } from "./recording.ts";

const log = (line: string) => console.log(line);
const recipes = { ollama, "llama-server": llamaServer } as const;
const wanted = process.argv[2];
for (const kind of ["ollama", "llama-server"] as const) {
  if (wanted !== undefined && wanted !== kind) continue;
  const version = versionOf(await ensureServer(kind, log), recipes[kind]) ?? "unknown";
  const server = await startRealModel({ kind, log, slots: 2 });
  try {
    const exchanges: Record<string, Exchange> = {};
    for (const one of [...OPENAI_CASES, ...(kind === "ollama" ? OLLAMA_CASES : LLAMA_CASES)]) {
      log(`${kind}: ${one.name}`);
      exchanges[one.name] = await exchange(server.url, one, { chat: REAL_MODEL, embed: REAL_MODEL });
    }
    const platform = `${process.platform} ${process.arch}`;
    const recording: Recording = {
      server: kind,
      version,
      date: new Date().toISOString().slice(0, 10),
      platform,
      exchanges,
    };
    writeFileSync(recordingFile(kind), `${JSON.stringify(recording, null, 1)}\n`);
  } finally {
    await server.close();
  }
}
