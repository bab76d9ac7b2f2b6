/**
 * What people did from the status page: one JSON object per line in `audit.jsonl`, synced before the act is confirmed, and the
 * same in the log (`audit: true`). Bounded: a file of 1 MiB is kept as `audit.1.jsonl`, and the one before that is dropped.
 * Refused attempts are in the log only, so that they cannot displace the acts.
 */
import { open, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Log } from "../telemetry/log.ts";
import type { AuditPart } from "./page-data.ts";

const MAX_BYTES = 1024 * 1024;
/** Acts that the page shows. */
const SHOWN = 20;

const entrySchema = z.object({
  at: z.number(),
  who: z.string(),
  action: z.literal("cancel_job"),
  job: z.string(),
  caller: z.string().nullable(),
  company: z.string().nullable(),
  outcome: z.enum(["done", "not_needed", "failed"]),
  reason: z.string().nullable(),
});

export interface AuditLog {
  /** Newest first, at most 20. */
  readonly latest: readonly AuditPart[];
  /** Resolves once it would survive a power cut. Rejects if it cannot be written: then the act must not be done. */
  append(entry: AuditPart): Promise<void>;
}

/** Reads the last acts. Never rejects: a file that cannot be read is logged, and appended to. */
export async function openAudit(dataDir: string, log: Log): Promise<AuditLog> {
  const file = join(dataDir, "audit.jsonl");
  const former = join(dataDir, "audit.1.jsonl");
  let latest = (await Promise.all([readEntries(file, log), readEntries(former, log)])).flat().slice(0, SHOWN);
  let writing: Promise<unknown> = Promise.resolve();
  // A line that a power cut tore must not take the next one with it.
  let isTorn = await endsWithin(file);
  const write = async (entry: AuditPart): Promise<void> => {
    const size = await stat(file).then(
      (found) => found.size,
      () => 0,
    );
    if (size >= MAX_BYTES) await rename(file, former);
    const handle = await open(file, "a", 0o600);
    try {
      await handle.appendFile(`${isTorn ? "\n" : ""}${JSON.stringify(entry)}\n`);
      await handle.sync();
      isTorn = false;
    } finally {
      await handle.close();
    }
    latest = [entry, ...latest].slice(0, SHOWN);
    log.info({ audit: true, ...entry }, "act of an operator");
  };
  return {
    get latest() {
      return latest;
    },
    append(entry) {
      const done = writing.then(() => write(entry));
      writing = done.catch(() => {});
      return done;
    },
  };
}

/** Whether the file ends within a line. */
async function endsWithin(file: string): Promise<boolean> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text !== "" && !text.endsWith("\n");
}

/** Newest first. A line that a power cut tore is skipped. */
async function readEntries(file: string, log: Log): Promise<AuditPart[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") log.warn({ err: cause, file }, "audit log cannot be read");
    return [];
  }
  const lines = text.trimEnd().split("\n").slice(-SHOWN).reverse();
  return lines.flatMap((line) => {
    try {
      return [entrySchema.parse(JSON.parse(line))];
    } catch {
      return [];
    }
  });
}
