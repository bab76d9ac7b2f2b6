/** State of an emulated API as a JSON file: 0600, since it holds secrets, and replaced by rename, so it is never half written. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";

/** A value written to a file with a delay after changes. */
export interface StateFile<T> {
  value: T;
  /** Marks `value` as changed: it is written within `debounceMs`. */
  changed(): void;
  /** Writes pending changes at once. Blocks until they are on disk. */
  flush(): void;
}

function read<T>(path: string, schema: z.ZodType<T>, initial: () => T): T {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return initial();
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new Error(`the state file ${path} cannot be used: ${reason}. Move it away to start from nothing.`);
  }
}

function writeAtomically(path: string, text: string): void {
  const next = `${path}.next`;
  mkdirSync(dirname(path), { recursive: true });
  rmSync(next, { force: true });
  const file = openSync(next, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
}

/**
 * Reads `path`, or uses `initial()` without a file.
 * @param path undefined: nothing is read or written
 * @throws when the file exists but does not match `schema`
 */
export function openStateFile<T>(
  path: string | undefined,
  schema: z.ZodType<T>,
  initial: () => T,
  debounceMs = 50,
): StateFile<T> {
  const value = path === undefined ? initial() : read(path, schema, initial);
  let timer: NodeJS.Timeout | undefined;
  const flush = (): void => {
    if (timer === undefined || path === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    writeAtomically(path, JSON.stringify(value, null, 2));
  };
  return {
    value,
    flush,
    changed: () => {
      if (path !== undefined) timer ??= setTimeout(flush, debounceMs);
    },
  };
}
