/** The file that keeps alerts and undelivered messages over a restart. Small, and replaced as a whole. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { ALERT_KINDS } from "../../alert-config.ts";
import { replaceFile } from "../replace-file.ts";
import type { Log } from "../telemetry/log.ts";

const detail = z.record(z.string(), z.union([z.string(), z.number()]));
const kind = z.enum(ALERT_KINDS);

const heldSchema = z.object({
  kind,
  subject: z.string(),
  since: z.string(),
  detail,
  raisedAt: z.number(),
  calmSince: z.number().optional(),
});

const pendingSchema = z.object({
  message: z.object({
    id: z.string(),
    kind,
    isResolved: z.boolean(),
    subject: z.string(),
    since: z.string(),
    at: z.string(),
    detail,
  }),
  tries: z.int(),
});

const deliverySchema = z.object({
  /** Id of the message, and its type: `disk`, `disk.resolved`. */
  id: z.string(),
  type: z.string(),
  at: z.string(),
  isDelivered: z.boolean(),
  /** Of the last answer. */
  status: z.int().optional(),
  /** Why it was not delivered. */
  reason: z.string().optional(),
});

const stateSchema = z.object({
  held: z.array(heldSchema),
  /** By webhook; its name is a hash of its address. */
  webhooks: z.record(z.string(), z.object({ pending: z.array(pendingSchema), last: z.array(deliverySchema) })),
});

/** A message that is not delivered yet. */
export type Pending = z.infer<typeof pendingSchema>;
/** How a message ended. */
export type Delivery = z.infer<typeof deliverySchema>;
export type AlertState = z.infer<typeof stateSchema>;

export interface StateFile {
  readonly state: AlertState;
  /** Writes soon; only the last state counts. Never throws: a failure is logged once. */
  save(state: AlertState): void;
  /** Resolves when all has been written. */
  settled(): Promise<void>;
}

/** Never rejects: a file that is missing or damaged is as none. */
export async function openStateFile(file: string, log: Log): Promise<StateFile> {
  let state: AlertState = { held: [], webhooks: {} };
  try {
    state = stateSchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== "ENOENT")
      log.warn({ err }, "the file of alerts cannot be read; starting without it");
  }
  let next: AlertState | undefined;
  let writing: Promise<void> | undefined;
  let hasFailed = false;
  const write = async (): Promise<void> => {
    while (next !== undefined) {
      const text = JSON.stringify(next);
      next = undefined;
      try {
        await replaceFile(file, text, { synced: true });
        hasFailed = false;
      } catch (err) {
        if (!hasFailed)
          log.warn({ err }, "the file of alerts cannot be written: after a restart alerts may be said again");
        hasFailed = true;
      }
    }
    writing = undefined;
  };
  return {
    state,
    save(changed) {
      next = changed;
      // In the next turn: one write for all changes of this one.
      writing ??= new Promise((resolve) => setImmediate(resolve)).then(write);
    },
    async settled() {
      await writing;
    },
  };
}
