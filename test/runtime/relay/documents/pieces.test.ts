/** A document's pieces, and what identifies them and their vectors. */
import { describe, expect, it } from "vitest";
import {
  type EmbeddingSettings,
  embeddingSettings,
  fingerprintOf,
  hashOf,
} from "../../../../runtime/relay/documents/fingerprint.ts";
import { checkTextSize, piecesOf } from "../../../../runtime/relay/documents/pieces.ts";
import { MAX_DOCUMENT_BYTES } from "../../../../runtime/relay/documents/store.ts";

const SIZE = { characters: 12, overlap: 0 };

describe("a document", () => {
  it("that is a text is cut; its hash is that of the whole", () => {
    const text = "aaaa bbbb cccc dddd";
    const { pieces, textHash } = piecesOf({ text }, SIZE);
    expect(pieces).toEqual(["aaaa bbbb", "cccc dddd"].map((piece) => ({ text: piece, hash: hashOf(piece) })));
    expect(piecesOf({ text }, { ...SIZE, characters: 100 }).textHash).toBe(textHash);
    expect(piecesOf({ text: `${text}.` }, SIZE).textHash).not.toBe(textHash);
  });

  it("that is chunks is taken as it is, and is another one than its text", () => {
    const chunks = ["aaaa bbbb cccc dddd", " b "];
    expect(piecesOf({ chunks }, SIZE).pieces.map(({ text }) => text)).toEqual(chunks);
    expect(piecesOf({ chunks: ["a"] }, SIZE).textHash).not.toBe(piecesOf({ text: "a" }, SIZE).textHash);
  });

  it.each([{ text: " \n" }, { chunks: [] }])("without text is refused: %j", (source) => {
    expect(() => piecesOf(source, SIZE)).toThrow(
      expect.objectContaining({ code: "document_invalid", message: "The document contains no text." }),
    );
  });

  it("that is too large even without vectors is refused, with the number of parts that would fit", () => {
    expect(() => checkTextSize(MAX_DOCUMENT_BYTES)).not.toThrow();
    const refusal = (bytes: number) => {
      try {
        checkTextSize(bytes);
      } catch (cause) {
        return cause as { code: string; message: string };
      }
      throw new Error("it was accepted");
    };
    const most = Math.floor(MAX_DOCUMENT_BYTES / 1e6);
    expect(refusal(MAX_DOCUMENT_BYTES + 1)).toMatchObject({
      code: "document_too_large",
      message: expect.stringMatching(
        `takes ${most + 1} MB; at most ${most} MB.*into 2 titles or more.*\\(1/2\\)`,
      ) as string,
    });
    // A tenth of each part is left to what is stored beside its text.
    expect(refusal(1.81 * MAX_DOCUMENT_BYTES).message).toContain("into 3 titles");
    expect(() => piecesOf({ chunks: ["a".repeat(MAX_DOCUMENT_BYTES)] }, SIZE)).toThrow("document's text alone takes");
    expect(() => piecesOf({ text: "a".repeat(MAX_DOCUMENT_BYTES) }, SIZE)).toThrow("document's text alone takes");
  });
});

describe("settings of embeddings", () => {
  const defaults = {
    revision: undefined,
    dimensions: undefined,
    queryPrefix: "",
    documentPrefix: "",
    normalize: true,
    chunk: { characters: 1000, overlap: 120 },
  };
  const config = (more: object) => embeddingSettings(more as Parameters<typeof embeddingSettings>[0]);

  it("have defaults", () => {
    expect(config({})).toEqual(defaults);
    expect(config({ embedding: {} })).toEqual(defaults);
  });

  it("are those of the config", () => {
    const embedding = { revision: "r", dimensions: 8, queryPrefix: "q: ", documentPrefix: "d: ", normalize: false };
    expect(config({ embedding, chunk: SIZE })).toEqual({ ...embedding, chunk: SIZE });
  });
});

describe("the fingerprint of vectors", () => {
  const settings: EmbeddingSettings = embeddingSettings({} as Parameters<typeof embeddingSettings>[0]);
  const model = { name: "m", digest: "d" };

  /** It is stored with the vectors: with another one, every document would be embedded again. */
  it("is the same in every release", () => {
    expect(fingerprintOf(model, undefined, "relay", settings)).toBe("cb3ad08662c0df03e1298f6b463f1eb9");
    expect(fingerprintOf(model, 8, "caller", settings)).toBe("cd5b5b3fe98d081689a0e9f3cc1ec864");
    expect(hashOf("가")).toBe("ZO5Sk9MbxYty12rpqGqQLpBEJCjinyT07LJXuoQc3TY");
  });

  it.each([
    ["the model's name", () => fingerprintOf({ ...model, name: "n" }, undefined, "relay", settings)],
    ["the model's digest", () => fingerprintOf({ ...model, digest: "e" }, undefined, "relay", settings)],
    ["the dimensions", () => fingerprintOf(model, 8, "relay", settings)],
    ["who shapes the text", () => fingerprintOf(model, undefined, "caller", settings)],
    ["the query's prefix", () => fingerprintOf(model, undefined, "relay", { ...settings, queryPrefix: "q" })],
    ["the document's prefix", () => fingerprintOf(model, undefined, "relay", { ...settings, documentPrefix: "d" })],
    ["normalization", () => fingerprintOf(model, undefined, "relay", { ...settings, normalize: false })],
    ["the chunks' size", () => fingerprintOf(model, undefined, "relay", { ...settings, chunk: SIZE })],
  ])("depends on %s", (_name, other) => {
    expect(other()).not.toBe(fingerprintOf(model, undefined, "relay", settings));
  });

  it("of a caller's own inputs does not depend on how the relay cuts and prefixes", () => {
    const other = { ...settings, queryPrefix: "q", documentPrefix: "d", chunk: SIZE };
    expect(fingerprintOf(model, 8, "caller", other)).toBe(fingerprintOf(model, 8, "caller", settings));
  });
});
