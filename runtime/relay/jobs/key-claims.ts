/** Idempotency keys in the jobs' file: the only place where repeated keys are compared, and the claims of direct calls. */
import { isAlive } from "../../process-alive.ts";
import type { Sql } from "../sqlite.ts";
import { recordOf, rowByKey } from "./records.ts";
import type { KeyClaim, KeyInUse, NewJob } from "./store.ts";

export type KeyedCall = Pick<NewJob, "id" | "owner" | "path" | "idempotencyKey" | "requestSha256">;

export interface KeyClaimsOptions {
  /** Id of the relay that has the file open; the same when it reopens it. */
  readonly instance: string;
  /** Ids of this relay's running calls. Its other claims are left over from before the file was closed. */
  readonly running: readonly string[];
  /** How long claims of another living relay hold, in ms: it ends its calls within its grace period. */
  readonly foreignMs: number;
  /** In ms, on a monotonic clock. */
  readonly monotonicNow: () => number;
}

interface ClaimRow {
  readonly request_sha256: string;
  readonly call_id: string;
  readonly instance: string;
  readonly pid: number;
}

export class KeyClaims {
  readonly #sql: Sql;
  readonly #options: KeyClaimsOptions;
  readonly #openedAt: number;

  constructor(sql: Sql, options: KeyClaimsOptions) {
    this.#sql = sql;
    this.#options = options;
    this.#openedAt = options.monotonicNow();
    const { instance, running } = options;
    const rows = sql("SELECT call_id, instance, pid FROM running_calls").all() as unknown as ClaimRow[];
    for (const { call_id: id, instance: owner, pid } of rows) {
      if (owner === instance ? !running.includes(id) : !isAlive(pid)) this.release(id);
    }
  }

  /** What uses the key; undefined if it is free. */
  find({ owner, path, idempotencyKey: key, requestSha256 }: KeyedCall): KeyInUse | undefined {
    if (key === undefined) return undefined;
    const row = rowByKey(this.#sql, owner, path, key);
    if (row !== undefined) {
      return row.request_sha256 === requestSha256
        ? { kind: "existing", job: recordOf(this.#sql, row) }
        : { kind: "mismatch" };
    }
    const claim = this.#sql("SELECT * FROM running_calls WHERE owner = ? AND path = ? AND idempotency_key = ?").get(
      owner,
      path,
      key,
    ) as ClaimRow | undefined;
    if (claim === undefined) return undefined;
    if (!this.#holds(claim)) {
      this.release(claim.call_id);
      return undefined;
    }
    return { kind: claim.request_sha256 === requestSha256 ? "running" : "mismatch" };
  }

  claim(call: KeyedCall): KeyClaim {
    const inUse = this.find(call);
    if (inUse !== undefined) return inUse;
    const { id, owner, path, idempotencyKey = "", requestSha256 } = call;
    this.#sql("INSERT INTO running_calls VALUES (?, ?, ?, ?, ?, ?, ?)").run(
      owner,
      path,
      idempotencyKey,
      requestSha256,
      id,
      this.#options.instance,
      process.pid,
    );
    return { kind: "claimed" };
  }

  release(callId: string): void {
    this.#sql("DELETE FROM running_calls WHERE call_id = ?").run(callId);
  }

  #holds({ instance, pid }: ClaimRow): boolean {
    const { instance: mine, foreignMs, monotonicNow } = this.#options;
    return instance === mine || (isAlive(pid) && monotonicNow() - this.#openedAt < foreignMs);
  }
}
