import { describe, expect, it } from "vitest";
import { chunkText } from "../../../../runtime/relay/documents/chunker.ts";
import { base64Of, floatsOf, lengthOf, lengthsOf, nearest } from "../../../../runtime/relay/documents/vectors.ts";

describe("a text is cut", () => {
  const korean = "계약은 2026년 1월 1일에 시작한다. 대금은 매월 말일에 지급한다! 누가 지급하는가? 갑이 지급한다.\n";
  const english = "The contract begins on 1 January. Payment is due at 3.5 per cent. Who pays? The buyer pays!\n";

  it("at the ends of sentences, Korean and English, with whole sentences as overlap", () => {
    const size = { characters: 120, overlap: 40 };
    const chunks = chunkText((korean + english).repeat(20), size);
    expect(chunks.length).toBeGreaterThan(20);
    for (const [i, chunk] of chunks.entries()) {
      expect(chunk.length).toBeLessThanOrEqual(size.characters);
      expect(chunk).toMatch(/[.!?]$/);
      const before = chunks[i - 1];
      if (before === undefined) continue;
      const overlap = Array.from({ length: 40 }, (_, n) => chunk.slice(0, n + 1)).findLast((one) =>
        before.endsWith(one),
      );
      expect(overlap).toMatch(/[.!?]$/);
    }
  });

  it("so that every word is in a chunk, for any chunk size", () => {
    const words = Array.from({ length: 3000 }, (_, i) => `낱말${i}${i % 11 === 0 ? "." : i % 173 === 0 ? "\n\n" : ""}`);
    for (const size of [
      { characters: 100, overlap: 0 },
      { characters: 137, overlap: 50 },
      { characters: 1000, overlap: 120 },
    ]) {
      const chunks = chunkText(words.join(" "), size);
      const seen = new Set(chunks.join(" ").split(/\s+/));
      expect(words.map((word) => word.trim()).filter((word) => !seen.has(word))).toEqual([]);
      expect(Math.max(...chunks.map((chunk) => chunk.length))).toBeLessThanOrEqual(size.characters);
    }
  });

  it("but never within a character, even without white space", () => {
    const chunks = chunkText("a".concat("😀".repeat(1000)), { characters: 100, overlap: 0 });
    expect(chunks.every((chunk) => chunk.isWellFormed())).toBe(true);
    expect(chunks.join("")).toBe("a".concat("😀".repeat(1000)));
  });

  it.each([
    [
      "between sentences that fill a chunk exactly",
      "One two. Three four. Five six.",
      21,
      0,
      ["One two. Three four.", "Five six."],
    ],
    [
      "with an overlap of whole sentences",
      "One two. Three four. Five six.",
      22,
      12,
      ["One two. Three four.", "Three four. Five six."],
    ],
    ["without an overlap of a part", "One two. Three four. Five six.", 22, 11, ["One two. Three four.", "Five six."]],
    [
      "without an overlap that has no room",
      "One two. Three four. Five six.",
      20,
      12,
      ["One two.", "Three four.", "Five six."],
    ],
    ["within a long sentence, after its last white space", "aaaa bbbb cccc dddd", 12, 0, ["aaaa bbbb", "cccc dddd"]],
    ["also after white space just in its second half", "aaaaa bbbbbbbbb", 10, 0, ["aaaaa", "bbbbbbbbb"]],
    ["but not in the first half", "aaaa bbbbbbbbbb", 10, 0, ["aaaa bbbbb", "bbbbb"]],
    ["nowhere in a sentence as long as a chunk", "Aaaaaa bb。Cc.", 10, 3, ["Aaaaaa bb。", "Cc."]],
    ["before a character of two units", "aaaaaaaaa😀bbb", 10, 0, ["aaaaaaaaa", "😀bbb"]],
    ["before the first of these characters", "aaaaaaaaa\u{10000}bbb", 10, 0, ["aaaaaaaaa", "\u{10000}bbb"]],
    [
      "before one whose second unit is the last possible",
      "aaaaaaaaa\u{103ff}bbb",
      10,
      0,
      ["aaaaaaaaa", "\u{103ff}bbb"],
    ],
    ["at a chunk's length before any other character", "aaaaaaaaaaﬀbbb", 10, 0, ["aaaaaaaaaa", "ﬀbbb"]],
  ])("%s", (_name, text, characters, overlap, chunks) => {
    expect(chunkText(text, { characters, overlap })).toEqual(chunks);
  });

  it("into no chunks when it is empty, and into one when it is short", () => {
    expect(chunkText("", { characters: 100, overlap: 10 })).toEqual([]);
    expect(chunkText(" \n\t ", { characters: 100, overlap: 10 })).toEqual([]);
    expect(chunkText(" 짧다. ", { characters: 100, overlap: 10 })).toEqual(["짧다."]);
  });
});

describe("the nearest vectors", () => {
  it("are those with the largest cosines, for any dimension", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647 - 0.5;
    };
    for (const [dimensions, rows] of [
      [1, 500],
      [3, 501],
      [4, 502],
      [7, 503],
      [64, 11],
    ] as const) {
      const vectors = Float32Array.from({ length: rows * dimensions }, random);
      vectors.fill(0, 0, dimensions); // a zero vector is near to none
      const query = Float32Array.from({ length: dimensions }, random);
      const cosine = (row: number) => {
        const [a, b] = [vectors.subarray(row * dimensions, (row + 1) * dimensions), query];
        const dot = a.reduce((sum, x, i) => sum + x * b[i]!, 0);
        return dot / (Math.hypot(...a) * Math.hypot(...b) || 1);
      };
      const expected = Array.from({ length: rows }, (_, row) => ({ row, score: cosine(row) })).sort(
        (a, b) => b.score - a.score,
      );
      const found = nearest({ vectors, dimensions, lengths: lengthsOf(vectors, dimensions) }, query, 10);
      expect(found.map(({ score }) => score)).toEqual(
        expected.slice(0, 10).map(({ score }) => expect.closeTo(score, 5) as number),
      );
      if (dimensions > 4) expect(found.map(({ row }) => row)).toEqual(expected.slice(0, 10).map(({ row }) => row));
    }
  });

  it("are all vectors when fewer exist than requested", () => {
    const vectors = Float32Array.from([1, 0, 0, 1]);
    const found = nearest({ vectors, dimensions: 2, lengths: lengthsOf(vectors, 2) }, Float32Array.from([1, 0]), 10);
    expect(found).toEqual([
      { row: 0, score: 1 },
      { row: 1, score: 0 },
    ]);
  });

  it("are the earlier ones of equal ones", () => {
    const vectors = Float32Array.from({ length: 2 * 9 }, () => 1);
    const found = nearest({ vectors, dimensions: 2, lengths: lengthsOf(vectors, 2) }, Float32Array.from([1, 1]), 3);
    expect(found.map(({ row }) => row)).toEqual([0, 1, 2]);
  });
});

describe("a vector as bytes", () => {
  it("is little-endian float32, from anywhere in a buffer, without a number that is cut off", () => {
    const bytes = Buffer.from("ff0000803f000020c0ff", "hex");
    expect([...floatsOf(bytes.subarray(1))]).toEqual([1, -2.5]);
    expect(floatsOf(bytes.subarray(1, 4))).toHaveLength(0);
  });

  it("is base64 of its own numbers only", () => {
    const vectors = Float32Array.from([9, 1, -2.5, 9]);
    expect(base64Of(vectors.subarray(1, 3))).toBe(Buffer.from("0000803f000020c0", "hex").toString("base64"));
  });

  it("has a length: 0 of none, and none that is finite if a number is not", () => {
    expect(
      [[3, 4], [0, 0], [Number.POSITIVE_INFINITY, 1], [Number.NaN]].map((all) => lengthOf(Float32Array.from(all))),
    ).toEqual([5, 0, Number.POSITIVE_INFINITY, Number.NaN]);
  });
});
