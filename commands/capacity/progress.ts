/** How far a run is: a bar on a terminal, else a line a level. */
import type { Progress } from "./measure.ts";
import { rounded } from "./sentence.ts";

const CELLS = 24;

/** @returns e.g. `[######------------------]  25 %  answers of 32, 4 at once, 81 tokens/s` */
export function bar({ used, what, atOnce, last }: Progress): string {
  const full = Math.round(used * CELLS);
  const speed = last ? `, before: ${rounded(last.tokensPerSecond)} tokens/s at ${last.atOnce}` : "";
  return `[${"#".repeat(full)}${"-".repeat(CELLS - full)}] ${String(Math.round(used * 100)).padStart(3)} %  ${what}, ${atOnce} at once${speed}`;
}

/** Shows it on standard error. @returns what to call on progress, and at the end */
export function showProgress(out: NodeJS.WriteStream = process.stderr) {
  return {
    show: (progress: Progress): void =>
      void out.write(out.isTTY ? `\r\u001b[2K${bar(progress)}` : `${bar(progress)}\n`),
    end: (): void => {
      if (out.isTTY) out.write("\r\u001b[2K");
    },
  };
}
