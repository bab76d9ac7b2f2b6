/** What a start leaves behind. */

/**
 * Gives back what only the start needed: garbage, and the compiled code of what has run once (some 5 MB). V8 collects when
 * memory is asked for, and a relay at rest asks for none. Blocks for about 50 ms, so once, at the start; without node's
 * `--expose-gc` it does nothing.
 */
export function tidyUp(): void {
  void globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}
