/** Metrics of what the relay stands on: the disk, the job store, the service tokens. Read when they are scraped. */
import { Gauge, type Registry } from "prom-client";
import { type DiskSpace, diskSpace } from "../../disk-space.ts";

export interface HealthSources {
  /** Its disk is measured. */
  readonly dataDir: string;
  readonly jobsAvailable: () => boolean;
  /** Service tokens, and when each one ends; absent: never. */
  readonly tokens: () => Readonly<Record<string, { readonly expiresAt?: string | undefined }>>;
}

export function createHealthMetrics(registry: Registry, { dataDir, jobsAvailable, tokens }: HealthSources): void {
  const registers = [registry];
  const disk = (name: string, help: string, bytes: (space: DiskSpace) => number) =>
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        try {
          this.set(bytes(await diskSpace(dataDir)));
        } catch {
          this.reset(); // the other metrics must not fail with these
        }
      },
    });
  disk("slm_disk_free_bytes", "Free space on the disk with the relay's data.", ({ freeBytes }) => freeBytes);
  disk("slm_disk_size_bytes", "Size of the disk with the relay's data.", ({ totalBytes }) => totalBytes);
  new Gauge({
    name: "slm_job_store_up",
    help: "1 while the job store is available.",
    registers,
    collect() {
      this.set(jobsAvailable() ? 1 : 0);
    },
  });
  new Gauge({
    name: "slm_token_end_timestamp_seconds",
    help: "When a service token's own life ends.",
    labelNames: ["token"] as const,
    registers,
    collect() {
      this.reset();
      for (const [token, { expiresAt = "" }] of Object.entries(tokens())) {
        const end = Date.parse(expiresAt) / 1000;
        if (Number.isFinite(end)) this.set({ token }, end);
      }
    },
  });
}
