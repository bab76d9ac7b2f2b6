/** Ends embedding work of callers that are disabled: it goes on after its client has disconnected, so that is not enough. */
import { RelayError } from "../errors.ts";

export interface CallerSignals {
  /** Fires when the caller is disabled or removed, or the relay stops. At once for a caller that already is. */
  of(caller: string): AbortSignal;
  /** The callers of the config have changed. */
  callersChanged(): void;
}

/** @param stop fires when the relay stops @param enabled names of the callers that may work now */
export function createCallerSignals(stop: AbortSignal, enabled: () => readonly string[]): CallerSignals {
  const controllers = new Map<string, AbortController>();
  const disabled = () => new RelayError("caller_disabled", "This caller has been switched off.");
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
