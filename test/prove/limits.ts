/** What the relay of this suite may use. */

/** The bounds that the relay is configured with and judged by. Smaller than the defaults, so that an attack reaches them. */
export const BOUNDS = {
  chat: 4,
  embeddings: 2,
  waiting: 256,
  waitSeconds: 20,
  bodyMiB: 64,
  /** `limits.memoryMiB`: the least that goes with `bodyMiB`. */
  memoryMiB: 320,
  /** `jobs.maxDiskMiB` */
  jobsMiB: 64,
  /** What the log beside the file of the jobs may take, as docs/jobs.md says. */
  jobsLogMiB: 64,
  /** `documents.maxDiskMiB` */
  documentsMiB: 64,
} as const;
