/** Cuts a text into chunks at sentence ends, in Korean and English. Pure. */

/** Part of the fingerprint: increase it with every change to how texts are cut. */
export const CHUNKER_VERSION = 1;

/** In characters (UTF-16 units). */
export interface ChunkSize {
  readonly characters: number;
  /** Longest overlap of two consecutive chunks. */
  readonly overlap: number;
}

/**
 * Chunks of at most `size.characters`, each starting with the last whole sentences of the one before, up to `size.overlap`.
 * A sentence that is too long is cut at white space, or between characters if there is none. Every word is in a chunk.
 * Sentences are found by ICU according to Unicode (UAX 29).
 */
export function chunkText(text: string, size: ChunkSize): string[] {
  const chunks: string[] = [];
  let held: string[] = [];
  let length = 0;
  const flush = () => {
    const chunk = held.join("").trim();
    if (chunk !== "") chunks.push(chunk);
  };
  for (const piece of pieces(text, size.characters)) {
    if (length + piece.length > size.characters) {
      flush();
      held = tail(held, Math.min(size.overlap, size.characters - piece.length));
      length = held.reduce((sum, one) => sum + one.length, 0);
    }
    held.push(piece);
    length += piece.length;
  }
  flush();
  return chunks;
}

function tail(pieces: readonly string[], most: number): string[] {
  let length = 0;
  let from = pieces.length;
  while (from > 0 && length + pieces[from - 1]!.length <= most) {
    from -= 1;
    length += pieces[from]!.length;
  }
  return pieces.slice(from);
}

const sentences = new Intl.Segmenter("ko", { granularity: "sentence" });

/** Sentences, long ones in parts. Joined they are the text. */
function* pieces(text: string, longest: number): Generator<string> {
  for (const { segment } of sentences.segment(text)) {
    let rest = segment;
    while (rest.length > longest) {
      const at = cutAt(rest, longest);
      yield rest.slice(0, at);
      rest = rest.slice(at);
    }
    yield rest;
  }
}

/** Where to cut: after the last white space in the second half, else at `longest`, but never within a character. */
function cutAt(text: string, longest: number): number {
  for (let at = longest; at > longest / 2; at--) if (/\s/.test(text[at - 1]!)) return at;
  const code = text.charCodeAt(longest);
  return code >= 0xdc00 && code <= 0xdfff ? longest - 1 : longest;
}
