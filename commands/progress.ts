/** Tells a waiting user what a command is doing. */

/** Shorter waits need no explanation. */
const silentMs = 2_000;

/** Where progress goes: standard error, so that standard output stays the result. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/**
 * Waits for `work`. After two seconds says what is being waited for: once as a plain line, on a terminal as a line that counts
 * the seconds and is erased at the end.
 * @param label e.g. `checking the Mac studio`
 * @returns what `work` resolves with; rejects as it does
 */
export async function withProgress<T>(
  label: string,
  work: Promise<T>,
  stream: ProgressStream = process.stderr,
): Promise<T> {
  const started = Date.now();
  let shown = false;
  const show = (): void => {
    if (stream.isTTY) stream.write(`\r… ${label} (${Math.round((Date.now() - started) / 1000)} s) `);
    else if (!shown) stream.write(`… ${label}\n`);
    shown = true;
  };
  let ticks: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    show();
    if (stream.isTTY) ticks = setInterval(show, 1_000);
  }, silentMs);
  try {
    return await work;
  } finally {
    clearTimeout(first);
    clearInterval(ticks);
    if (shown && stream.isTTY) stream.write("\r\u001b[K");
  }
}
