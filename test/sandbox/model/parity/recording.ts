/** Recordings on disk: made by `record.ts` only. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Exchange } from "./exchange.ts";

/** What one real server answered to all cases. */
export interface Recording {
  readonly server: string;
  readonly version: string;
  /** The day it was recorded. */
  readonly date: string;
  readonly platform: string;
  readonly exchanges: Readonly<Record<string, Exchange>>;
}

export const recordingFile = (server: string): string => join(import.meta.dirname, `recordings/${server}.json`);

export function readRecording(server: string): Recording {
  return JSON.parse(readFileSync(recordingFile(server), "utf8")) as Recording;
}
