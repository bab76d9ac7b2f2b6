/** Settings of the queues, the memory and the jobs, and what contradicts itself in them; part of `config.ts`. */
import { z } from "zod";
import { quotasSchema } from "./usage-config.ts";

/** How much work is taken at once, and what happens to the rest. */
export const limitsSchema = z.strictObject({
  /** With `chatAuto`: its `max`. */
  chat: z.int("must be a whole number from 1 to 256, auto, or { min, max }").min(1).max(256).default(4),
  /** The relay finds the number for chat by itself within these bounds; absent: `chat` stands. `limits.chat: auto` in the stack's config. */
  chatAuto: z
    .strictObject({ min: z.int().min(1).max(256), max: z.int().min(1).max(256) })
    .refine(({ min, max }) => min <= max, { path: ["min"], error: "is over max: set it to max or less" })
    .optional(),
  embeddings: z.int().min(1).max(256).default(2),
  waiting: z.int().min(0).max(100_000).default(256),
  /** Bodies of waiting requests, together; 256 if it is not there. */
  waitingMiB: z.int().min(1).max(16_384).optional(),
  /** Memory that requests may hold in the relay, all together (docs/relay.md); 1024 if it is not there. */
  memoryMiB: z.int().min(64).max(65_536).optional(),
  waitSeconds: z.int().min(1).max(75).default(60),
  bodyMiB: z.int().min(1).max(100).default(64),
  whenBusy: z.enum(["queue", "reject"]).default("queue"),
  /** Quotas of callers, by name; absent: none. */
  callers: quotasSchema.optional(),
  /** Quotas of companies, by name; absent: none. */
  companies: quotasSchema.optional(),
});

/**
 * What contradicts itself in the limits, given how many callers there are.
 * @returns the field of the limits and, in words, the problem and its fix
 */
export function limitsProblems(limits: Limits, callers: number): { field: keyof Limits; problem: string }[] {
  const { memoryMiB, bodyMiB, waitingMiB } = limits;
  if (memoryMiB === undefined) return [];
  const problems: { field: keyof Limits; problem: string }[] = [];
  const field = "memoryMiB";
  // A body without a length takes twice its size while it is read, a caller gets half of the budget at least, and an
  // eighth of it is not the callers'.
  if (memoryMiB < 5 * bodyMiB) {
    problems.push({
      field,
      problem: `is under 5 × bodyMiB (${bodyMiB}), so that one caller could not send the largest body: set it to ${5 * bodyMiB} or more, or lower bodyMiB`,
    });
  }
  if (waitingMiB !== undefined && memoryMiB < waitingMiB) {
    problems.push({
      field,
      problem: `is under waitingMiB (${waitingMiB}), which could never be reached: set it higher, or lower waitingMiB`,
    });
  }
  if (memoryMiB < 4 * callers) {
    problems.push({
      field,
      problem: `is too little for ${callers} callers, each of which is guaranteed an equal part of it: set it to ${4 * callers} or more`,
    });
  }
  return problems;
}

/** Durable jobs, see docs/jobs.md. */
export const jobsSchema = z.strictObject({
  /** Days a finished job's answer is kept, and the longest a job may wait. */
  retentionDays: z.int().min(1).max(90).default(7),
  /** Bound on what the jobs take on the disk. */
  maxDiskMiB: z.int().min(64).max(1_048_576).default(4096),
  /** With less than this free on the disk no new job is taken. */
  minFreeMiB: z.int().min(0).max(1_048_576).default(2048),
  /** A job whose runs ended badly this often has failed. */
  maxAttempts: z.int().min(1).max(10).default(3),
  /** One run of a job may take this long. */
  attemptMinutes: z.int().min(1).max(1440).default(30),
  /** Slots of a lane that jobs and other background work can hold at a time. Absent: all but one, at least one. */
  slots: z.int().min(1).max(256).optional(),
});

/**
 * Says, after the value, why `jobs.slots` does not fit the lanes, and what to do; undefined when it does. Used for the stack's config and for
 * the file on the Mac alike.
 */
export function jobSlotsProblem(
  { chat, embeddings }: { readonly chat: number; readonly embeddings: number },
  slots: number | undefined,
): string | undefined {
  const most = Math.max(1, Math.max(chat, embeddings) - 1);
  if (slots === undefined || slots <= most) return undefined;
  return `leaves no slot for direct calls (limits.chat is ${chat}, limits.embeddings ${embeddings}): set it to ${most} or less, or leave it out for all but one`;
}

export type Limits = z.infer<typeof limitsSchema>;
export type JobsConfig = z.infer<typeof jobsSchema>;
