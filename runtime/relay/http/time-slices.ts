/**
 * Divides long work on the main thread into slices. One slice runs per turn of the event loop, whoever it belongs to: a
 * hundred long bodies at once delay another caller by one slice, not by a hundred.
 */

/** Bytes or characters that one slice of work may look at: well under a millisecond. */
export const SLICE = 128 * 1024;

const waiting: (() => void)[] = [];

function next(): void {
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(next);
}

/** Resolves when the next slice may run: first come, first served, after pending I/O has been handled. */
export function nextTimeSlice(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(next);
  });
}
