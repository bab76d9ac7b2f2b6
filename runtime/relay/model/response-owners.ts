/**
 * Which caller made a response that the model server keeps (`previous_response_id`, `GET /v1/responses/{id}`): the server
 * gives it to anyone who knows its id, the relay only to its caller. Ids survive restarts; after a power cut those of the last
 * moments may be missing, and are then not found.
 */
import { appendFile, readFile } from "node:fs/promises";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";

/** Ids that are known of one caller; the oldest ones are forgotten. */
export const MOST_PER_CALLER = 10_000;
/** Lines of the file beyond those that count before it is written again. */
const SPARE_LINES = 10_000;

export interface ResponseOwners {
  owns(caller: string, id: string): boolean;
  add(caller: string, id: string): void;
  remove(caller: string, id: string): void;
  /** Resolves when everything is in the file. */
  close(): Promise<void>;
}

/** Opens the file, or begins one. A file that cannot be read or written is logged: ids are then known until the next start. */
export async function openResponseOwners(file: string, log: Pick<Log, "warn">): Promise<ResponseOwners> {
  const owners = new Owners();
  let lines = 0;
  let pending: string[] = [];
  let writing: Promise<void> | undefined;
  const warn = (cause: unknown) =>
    log.warn({ reason: String(cause) }, "the owners of responses cannot be kept in their file");
  try {
    for (const line of (await readFile(file, "utf8")).split("\n")) {
      const read = readLine(line);
      if (read === undefined) continue;
      lines += 1;
      if (read.added) owners.add(read.caller, read.id);
      else owners.remove(read.caller, read.id);
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") warn(cause);
  }
  const writeOnce = async () => {
    const text = pending.join("");
    lines += pending.length;
    pending = [];
    if (lines <= owners.size + SPARE_LINES) return appendFile(file, text, { mode: 0o600 });
    const all = owners.lines();
    lines = owners.size;
    await replaceFile(file, all, { synced: false });
  };
  const failed = (cause: unknown) => {
    warn(cause);
    // What was not appended, or only in part, is in memory: the next write is of all.
    lines = Number.POSITIVE_INFINITY;
  };
  const write = async () => {
    while (pending.length > 0) await writeOnce().catch(failed);
    writing = undefined;
  };
  const note = (caller: string, id: string, added: boolean) => {
    pending.push(lineOf(caller, id, added));
    writing ??= write();
  };
  return {
    owns: (caller, id) => owners.has(caller, id),
    add(caller, id) {
      if (owners.has(caller, id)) return;
      owners.add(caller, id);
      note(caller, id, true);
    },
    remove(caller, id) {
      if (!owners.has(caller, id)) return;
      owners.remove(caller, id);
      note(caller, id, false);
    },
    close: async () => writing,
  };
}

class Owners {
  readonly #ids = new Map<string, Set<string>>();
  size = 0;

  has(caller: string, id: string): boolean {
    return this.#ids.get(caller)?.has(id) === true;
  }

  add(caller: string, id: string): void {
    const ids = this.#ids.get(caller) ?? new Set<string>();
    this.#ids.set(caller, ids);
    if (!ids.has(id)) this.size += 1;
    ids.add(id);
    const [oldest] = ids;
    if (ids.size > MOST_PER_CALLER && oldest !== undefined) this.remove(caller, oldest);
  }

  remove(caller: string, id: string): void {
    if (this.#ids.get(caller)?.delete(id) === true) this.size -= 1;
  }

  lines(): string {
    return [...this.#ids].flatMap(([caller, ids]) => [...ids].map((id) => lineOf(caller, id, true))).join("");
  }
}

const lineOf = (caller: string, id: string, added: boolean): string => `${JSON.stringify([caller, id, added])}\n`;

/** @returns undefined for a line that is damaged */
function readLine(line: string): { caller: string; id: string; added: boolean } | undefined {
  try {
    const [caller, id, added] = JSON.parse(line) as unknown[];
    return typeof caller === "string" && typeof id === "string" ? { caller, id, added: added === true } : undefined;
  } catch {
    return undefined;
  }
}
