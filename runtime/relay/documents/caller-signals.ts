/** Ends embedding work of disabled callers: closing their connections is not enough, since it outlives them. */
import { RelayError } from "../errors.ts";

export interface CallerSignals {
  /** Aborts when the caller is disabled or removed, or the relay stops. At once for a disabled caller. */
  of(caller: string): AbortSignal;
  /** The callers of the config have changed. */
  callersChanged(): void;
}

/** @param stop aborts when the relay stops @param enabled names of the enabled callers */
export function createCallerSignals(stop: AbortSignal, enabled: () => readonly string[]): CallerSignals {
  const controllers = new Map<string, AbortController>();
  const disabled = () => new RelayError("caller_disabled", "This caller has been disabled.");
  return {
    of(caller) {
      if (!enabled().includes(caller)) return AbortSignal.abort(disabled());
      const controller = controllers.get(caller) ?? new AbortController();
      controllers.set(caller, controller);
      return AbortSignal.any([stop, controller.signal]);
    },
    callersChanged() {
      const now = new Set(enabled());
      for (const [caller, controller] of controllers) {
        if (now.has(caller)) continue;
        controllers.delete(caller);
        controller.abort(disabled());
      }
    },
  };
}
