/**
 * Disk space of jobs, by owner and in total. New jobs and kept answers of direct calls are accepted up to 80 % of the bound;
 * the rest is reserved for answers of accepted jobs, and a little of it for the store's own records. Within each limit owners
 * share as `memory/shares.ts` says: each configured caller has a part that no other caller can use.
 */
import { dirname } from "node:path";
import { freeBytesSync } from "../../disk-space.ts";
import { guaranteedPart, largestPart, refusalOf } from "../memory/shares.ts";
import { type Sql, usedBytes } from "../sqlite.ts";
import { JOB_BYTES, PART_FOR_NOTES } from "./schema.ts";
import { type DiskRefusal, StoreFailed } from "./store.ts";

/** Part of the bound up to which new jobs are accepted. */
const PART_FOR_JOBS = 0.8;

export interface DiskQuotaOptions {
  readonly file: string;
  readonly maxBytes: number;
  readonly minFreeBytes: number;
}

export class DiskQuota {
  readonly #sql: Sql;
  #options: DiskQuotaOptions;
  #callers: readonly string[] | undefined;

  /** @param callers who share the disk; undefined: every owner with jobs, each bounded only by the free space */
  constructor(sql: Sql, options: DiskQuotaOptions, callers: readonly string[] | undefined) {
    this.#sql = sql;
    this.#options = options;
    this.#callers = callers;
  }

  setLimits({ maxBytes, minFreeBytes }: Pick<DiskQuotaOptions, "maxBytes" | "minFreeBytes">): void {
    this.#options = { ...this.#options, maxBytes, minFreeBytes };
  }

  setCallers(names: readonly string[]): void {
    this.#callers = names;
  }

  /** Whether new work of this many bytes must be refused, and why. @throws StoreFailed */
  refuseWork(owner: string, bytes: number): DiskRefusal | undefined {
    const freeBytes = this.#freeBytes();
    if (freeBytes - bytes < this.#options.minFreeBytes) return { kind: "disk_low", freeBytes };
    return this.#refuse(owner, bytes + JOB_BYTES, this.#options.maxBytes * PART_FOR_JOBS);
  }

  /** Whether the answer of an accepted job must be refused: only its owner's usage or the whole bound counts. */
  refuseAnswer(owner: string, bytes: number): DiskRefusal | undefined {
    return this.#refuse(owner, bytes, this.#options.maxBytes * (1 - PART_FOR_NOTES));
  }

  #refuse(owner: string, bytes: number, line: number): DiskRefusal | undefined {
    const used = usedBytes(this.#sql);
    if (used + bytes > line) {
      // Space freed within pages counts as used, so a guaranteed part may exceed the limit for jobs.
      const within = this.#usedBy(owner) + bytes <= guaranteedPart(line, this.#callers?.length ?? 1);
      const last = this.#options.maxBytes * (1 - PART_FOR_NOTES);
      if (!(within && this.#callers?.includes(owner) && used + bytes <= last)) {
        return { kind: "store_full", usedBytes: used };
      }
    }
    const callers = this.#callers ?? [owner];
    const refused = refusalOf(owner, bytes, line, this.#usedByAll(), callers);
    if (refused === undefined) return undefined;
    if (refused === "all_used" || callers.length === 1) return { kind: "store_full", usedBytes: used };
    return { kind: "share_full", usedBytes: this.#usedBy(owner), shareBytes: largestPart(line, callers.length) };
  }

  #usedBy(owner: string): number {
    const row = this.#sql("SELECT bytes FROM usage WHERE owner = ?").get(owner) as { bytes: number } | undefined;
    return row?.bytes ?? 0;
  }

  #usedByAll(): Map<string, number> {
    const rows = this.#sql("SELECT owner, bytes FROM usage WHERE bytes > 0").all() as unknown as {
      owner: string;
      bytes: number;
    }[];
    return new Map(rows.map(({ owner, bytes }) => [owner, bytes]));
  }

  #freeBytes(): number {
    try {
      return freeBytesSync(dirname(this.#options.file));
    } catch (cause) {
      throw new StoreFailed("the free space on the disk cannot be read", { cause });
    }
  }
}
