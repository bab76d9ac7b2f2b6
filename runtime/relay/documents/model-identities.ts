/** The last known digest of each model, kept over restarts: a stored document can be served while the model server is down. */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";
import type { ModelIdentity } from "./fingerprint.ts";

export interface ModelIdentities {
  /** The model of that name as last seen; undefined if unknown. */
  last(model: string): ModelIdentity | undefined;
  /** Records an identity; new ones are written to disk in the background. */
  note(model: string, identity: ModelIdentity): void;
  /** Resolves when everything recorded is written. */
  close(): Promise<void>;
}

/** Bounded, since names come from callers, and a server may list many models. */
const MAX_MODELS = 100;

const fileSchema = z.record(z.string(), z.object({ name: z.string(), digest: z.string() }));

/** Reads the file if it exists. If it cannot be read or written, identities are only kept until the next restart. */
export function openModelIdentities(file: string, log: Log): ModelIdentities {
  const known = new Map(Object.entries(read(file)));
  let writing: Promise<void> = Promise.resolve();
  const write = async () => {
    try {
      await replaceFile(file, JSON.stringify(Object.fromEntries(known)), { synced: false });
    } catch (cause) {
      log.warn({ err: cause }, "the digests of the models cannot be kept on disk");
    }
  };
  return {
    last: (model) => known.get(model),
    note(model, identity) {
      const before = known.get(model);
      if (before?.digest === identity.digest && before.name === identity.name) return;
      known.delete(model);
      known.set(model, identity);
      const [oldest] = known.keys();
      if (known.size > MAX_MODELS && oldest !== undefined) known.delete(oldest);
      writing = writing.then(write);
    },
    close: () => writing,
  };
}

function read(file: string): Record<string, ModelIdentity> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}
