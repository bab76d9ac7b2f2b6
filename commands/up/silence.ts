/**
 * Why the engine is silent: Cloudflare's provider repeats a refused or failed call ten times, over three and a half minutes,
 * before it reports it (docs/providers.md, row 2), and has no time limit. After a while without an end of an operation that
 * usually takes seconds, a line says so. Pure but for the clock.
 */
import { kindOf } from "../../config/resource-types.ts";
import { type EngineEvent, slow } from "./events.ts";

const silenceMs = 20_000;
const operations = ["create", "update", "replace", "create-replacement", "delete", "delete-replaced"];

/** Watches operations without an end. */
export class Silence {
  /** Begin of each running operation, by URN. */
  readonly #running = new Map<string, number>();

  /**
   * @param now milliseconds, of any origin
   * @returns a line for each operation of Cloudflare that has been silent for too long, once each
   */
  notes(events: readonly EngineEvent[], now: number): string[] {
    for (const { resourcePreEvent: begun, resOutputsEvent: done, resOpFailedEvent: failed } of events) {
      if (begun && !begun.planning && isQuick(begun.metadata)) this.#running.set(begun.metadata.urn, now);
      for (const end of [done, failed]) if (end) this.#running.delete(end.metadata.urn);
    }
    return [...this.#running].flatMap(([urn, since]) => {
      if (now - since < silenceMs) return [];
      this.#running.delete(urn);
      return [
        `… ${urn.split("::").at(-1)}: no answer for ${silenceMs / 1000} s. Cloudflare's provider repeats a call that is refused (e.g. a name that is taken) or fails ten times, over three and a half minutes, before it says why; \`npm run preflight\` in another terminal shows names that are taken`,
      ];
    });
  }
}

function isQuick({ op, type }: { op: string; type: string }): boolean {
  const kind = kindOf(type);
  return operations.includes(op) && type.startsWith("cloudflare:") && (kind === undefined || slow[kind] === undefined);
}
