/** Keeps a resource open: reopens it after failures, with growing pauses, until it is stopped. */

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;

export interface ReopenerOptions<T> {
  /** Opens the resource. `onFail` is called once if it fails later. */
  open(onFail: (cause: Error) => void): Promise<T>;
  onOpen(opened: T): void;
  /** Opening failed, or the resource failed later. `isNew`: for another reason than the last time. */
  onFail(cause: Error, isNew: boolean): void;
  /** The resource was opened after a failure. */
  onReopen(): void;
  /** @default 1000 */
  readonly pauseMs?: number | undefined;
}

export interface Reopener {
  /** Resolves after the first attempt, whether or not it succeeded. */
  start(): Promise<void>;
  /** Starts no further attempt. */
  stop(): void;
  /** Resolves when no attempt is running. */
  settled(): Promise<void>;
}

export function createReopener<T>({
  open,
  onOpen,
  onFail,
  onReopen,
  pauseMs: firstPauseMs = FIRST_PAUSE_MS,
}: ReopenerOptions<T>): Reopener {
  let attempt: Promise<void> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let pauseMs = firstPauseMs;
  let lastReason: string | undefined;
  let stopped = false;

  const failed = (cause: unknown) => {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    onFail(error, error.message !== lastReason);
    lastReason = error.message;
    if (stopped) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      attempt = tryOnce();
    }, pauseMs).unref();
    pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
  };
  const tryOnce = async (): Promise<void> => {
    try {
      onOpen(await open(failed));
    } catch (cause) {
      failed(cause);
      return;
    }
    if (lastReason !== undefined) onReopen();
    lastReason = undefined;
    pauseMs = firstPauseMs;
  };
  return {
    start() {
      attempt = tryOnce();
      return attempt;
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
    settled: () => attempt,
  };
}
