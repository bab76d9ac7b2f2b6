/** Stored answers. Long ones are split into parts, since SQLite reads a value whole, however little of it is needed. */
import type { Sql } from "../sqlite.ts";
import { sha256 } from "./records.ts";
import { type AnswerHead, type StoredAnswer, StoreFailed } from "./store.ts";

/** Longest answer that is stored in one row, in bytes. */
const SHORT_BYTES = 256 * 1024;
/** Length of a part, and of the pieces in which an answer is read. */
export const PART_BYTES = 256 * 1024;
/** Earlier releases stored answers of any length in one row: each piece costs a read of the whole answer. */
const OLD_PIECE_BYTES = 8 * 1024 * 1024;

interface AnswerRow {
  readonly seq: number;
  readonly status: number;
  readonly headers: string;
  readonly sha256: string;
  /** Length if the answer is stored in parts; null if it is in this row. */
  readonly parted: number | null;
  readonly here: number;
}

export function insertAnswer(sql: Sql, seq: number, attemptId: string | null, answer: StoredAnswer): void {
  const { status, headers, sha256: digest, body } = answer;
  const long = body.length > SHORT_BYTES;
  sql("INSERT INTO answers (seq, attempt_id, status, headers, sha256, body, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)").run(
    seq,
    attemptId,
    status,
    JSON.stringify(headers),
    digest,
    long ? new Uint8Array(0) : body,
    long ? body.length : null,
  );
  if (!long) return;
  const insert = sql("INSERT INTO answer_parts (seq, part, data) VALUES (?, ?, ?)");
  for (let part = 0; part * PART_BYTES < body.length; part += 1) {
    insert.run(seq, part, body.subarray(part * PART_BYTES, (part + 1) * PART_BYTES));
  }
}

/** A stored answer without its body; undefined if the job has none. */
export function answerHeadOf(sql: Sql, seq: number): AnswerHead | undefined {
  const row = sql(
    "SELECT seq, status, headers, sha256, bytes AS parted, octet_length(body) AS here FROM answers WHERE seq = ?",
  ).get(seq) as AnswerRow | undefined;
  if (row === undefined) return undefined;
  return {
    status: row.status,
    headers: JSON.parse(row.headers) as Record<string, string | string[]>,
    sha256: row.sha256,
    bytes: row.parted ?? row.here,
    pieceBytes: row.parted === null && row.here > SHORT_BYTES ? OLD_PIECE_BYTES : PART_BYTES,
  };
}

/** A piece of an answer's body; `from` is a multiple of the head's `pieceBytes`. @throws StoreFailed if it is missing */
export function answerPieceOf(sql: Sql, seq: number, from: number, { pieceBytes }: AnswerHead): Uint8Array {
  const row = (sql("SELECT data FROM answer_parts WHERE seq = ? AND part = ?").get(seq, from / PART_BYTES) ??
    sql("SELECT substr(body, ?, ?) AS data FROM answers WHERE seq = ? AND bytes IS NULL").get(
      from + 1,
      pieceBytes,
      seq,
    )) as { data: Uint8Array } | undefined;
  if (row === undefined) throw new StoreFailed("a part of the stored answer is missing");
  return row.data;
}

/** @throws StoreFailed if the checksum does not match */
export function answerOf(sql: Sql, seq: number): StoredAnswer | undefined {
  const head = answerHeadOf(sql, seq);
  if (head === undefined) return undefined;
  const { status, headers, sha256: digest, bytes } = head;
  const body = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) {
    const piece = answerPieceOf(sql, seq, at, head);
    if (piece.length === 0 || at + piece.length > bytes) break;
    body.set(piece, at);
    at += piece.length;
  }
  if (sha256(body) !== digest) throw damaged();
  return { status, headers, body, sha256: digest };
}

export function damaged(): StoreFailed {
  return new StoreFailed("the stored answer is damaged: its checksum does not match");
}
