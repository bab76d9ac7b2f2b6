/** Stored answers, short ones in a row and long ones in parts. */
import { DatabaseSync } from "node:sqlite";
import { describe, expect, it } from "vitest";
import {
  answerHeadOf,
  answerOf,
  answerPieceOf,
  insertAnswer,
  PART_BYTES,
} from "../../../../runtime/relay/jobs/answer-rows.ts";
import { sha256 } from "../../../../runtime/relay/jobs/records.ts";
import { MIGRATIONS, migrate } from "../../../../runtime/relay/jobs/schema.ts";
import { StoreFailed } from "../../../../runtime/relay/jobs/store.ts";
import { statements } from "../../../../runtime/relay/sqlite.ts";

const SHORT = 256 * 1024;

function start() {
  const db = new DatabaseSync(":memory:", { enableForeignKeyConstraints: false });
  migrate(db, MIGRATIONS);
  return { db, sql: statements(db) };
}

/** Bytes that differ from place to place. */
function answer(length: number) {
  const body = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) body[at] = (at * 31 + (at >> 8)) % 251;
  return { status: 201, headers: { "x-a": ["1", "2"] }, body, sha256: sha256(body) };
}

describe("an answer", () => {
  it.each([
    ["is empty", 0, 0],
    ["is as long as a row has room for", SHORT, 0],
    ["is a byte longer", SHORT + 1, 2],
    ["fills its parts exactly", 2 * PART_BYTES, 2],
    ["is long", 2 * PART_BYTES + 7, 3],
  ])("that %s is the same again, whole and in pieces", (_name, length, parts) => {
    const { db, sql } = start();
    const given = answer(length);
    insertAnswer(sql, 5, "a", given);
    expect(db.prepare("SELECT count(*) AS n FROM answer_parts").get()).toEqual({ n: parts });
    expect(db.prepare("SELECT attempt_id FROM answers").get()).toEqual({ attempt_id: "a" });
    expect(answerOf(sql, 5)).toEqual(given);
    const { body: _body, ...rest } = given;
    const head = answerHeadOf(sql, 5)!;
    expect(head).toEqual({ ...rest, bytes: length, pieceBytes: PART_BYTES });
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < length; at += head.pieceBytes) pieces.push(answerPieceOf(sql, 5, at, head));
    expect(Buffer.concat(pieces).equals(given.body)).toBe(true);
    expect(Math.max(0, ...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(PART_BYTES);
  });

  it("that is not there is undefined", () => {
    const { sql } = start();
    expect([answerHeadOf(sql, 5), answerOf(sql, 5)]).toEqual([undefined, undefined]);
  });

  it("of an earlier release, in one row however long, is read in pieces of 8 MiB", () => {
    const { db, sql } = start();
    const given = answer(9 * 1024 * 1024);
    db.prepare("INSERT INTO answers (seq, status, headers, sha256, body) VALUES (5, 200, '{}', ?, ?)").run(
      given.sha256,
      given.body,
    );
    const head = answerHeadOf(sql, 5)!;
    expect(head).toMatchObject({ bytes: given.body.length, pieceBytes: 8 * 1024 * 1024 });
    expect(answerPieceOf(sql, 5, head.pieceBytes, head)).toHaveLength(1024 * 1024);
    expect(Buffer.from(answerOf(sql, 5)!.body).equals(given.body)).toBe(true);
  });
});

describe("a damaged answer is a failure of the store:", () => {
  const damage = (change: string) => {
    const { db, sql } = start();
    insertAnswer(sql, 5, null, answer(2 * PART_BYTES + 7));
    db.exec(change);
    return () => answerOf(sql, 5);
  };

  it.each([
    ["a part is missing", "DELETE FROM answer_parts WHERE part = 1", "a part of the stored answer is missing"],
    ["a byte differs", "UPDATE answer_parts SET data = zeroblob(octet_length(data)) WHERE part = 1", "checksum"],
    ["a part is empty", "UPDATE answer_parts SET data = x'' WHERE part = 2", "checksum"],
    ["a part is too long", "UPDATE answer_parts SET data = zeroblob(8) WHERE part = 2", "checksum"],
  ])("%s", (_name, change, message) => {
    expect(damage(change)).toThrow(StoreFailed);
    expect(damage(change)).toThrow(message);
  });
});
