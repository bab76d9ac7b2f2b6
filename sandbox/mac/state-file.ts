/** A small JSON file kept between runs (accounts, owners, power settings, disabled services). */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { z } from "zod";

/** One value in memory and on disk. Only the sandbox's own process writes it. */
export class StateFile<T> {
  readonly #path: string;
  #value: T;

  /**
   * Reads `path`, or starts with `initial` without a file. Blocking.
   * @throws Error when the file exists but does not match `schema`
   */
  constructor(path: string, schema: z.ZodType<T>, initial: T) {
    this.#path = path;
    this.#value = initial;
    if (!existsSync(path)) return;
    let json: unknown;
    try {
      json = JSON.parse(readFileSync(path, "utf8"));
    } catch (error) {
      throw new Error(`${path} is not JSON (${String(error)}). Remove the sandbox's folder to start afresh.`);
    }
    const read = schema.safeParse(json);
    if (!read.success) {
      throw new Error(
        `${path} is not as expected: ${read.error.message}. Remove the sandbox's folder to start afresh.`,
      );
    }
    this.#value = read.data;
  }

  /** The current value; change it in place, then call `save`. */
  get value(): T {
    return this.#value;
  }

  /** Writes the value, replacing the file by rename, so a killed sandbox never leaves a partial file. Blocking. */
  save(): void {
    const next = `${this.#path}.new`;
    writeFileSync(next, `${JSON.stringify(this.#value, undefined, 1)}\n`, { mode: 0o600 });
    renameSync(next, this.#path);
  }
}
