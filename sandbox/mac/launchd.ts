/** launchd's system domain: loads plists as jobs, keeps disabled labels, starts all jobs at boot. */
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { Log } from "../log.ts";
import type { Reaper } from "../machine/reaper.ts";
import type { Directory } from "./directory.ts";
import { Job } from "./launchd-job.ts";
import { type JobDefinition, readJob } from "./launchd-plist.ts";
import type { Owners } from "./owners.ts";
import type { RootPaths } from "./root-path.ts";
import { StateFile } from "./state-file.ts";

/** Numbers `launchctl` shows and exits with (`launchctl error N` names them). */
const errors = {
  3: "No such process",
  5: "Input/output error",
  36: "Operation now in progress",
  37: "Operation already in progress",
  113: "Could not find specified service",
  119: "Service is disabled",
} as const;

/** An error with launchd's number and name. */
export class LaunchdError extends Error {
  readonly code: keyof typeof errors;
  constructor(code: keyof typeof errors) {
    super(errors[code]);
    this.code = code;
  }
}

/** The dependencies of `Launchd`. */
export interface LaunchdOptions {
  /** Folder of `launchd.json`, where disabled labels are kept. */
  dir: string;
  paths: RootPaths;
  /** Added to every job's environment; the plist's values take precedence. */
  environment: Record<string, string>;
  /** PATH of the jobs. */
  path: string;
  owners: Owners;
  directory: Directory;
  reaper: Reaper;
  log: Log;
}

/** Folders that macOS denies daemons until a user allows it (EPERM), and disks that are mounted later. */
const isPrivate = /^(\/Users\/[^/]+\/(Documents|Desktop|Downloads)|\/Volumes\/[^/]+)(\/|$)/;

/** Longest wait at shutdown for jobs without a time limit, in seconds. */
const shutdownLimitSeconds = 20;

/** The system domain. Its jobs are real processes of this machine, run as the current user. */
export class Launchd {
  readonly #options: LaunchdOptions;
  readonly #jobs = new Map<string, Job>();
  readonly #overrides: StateFile<Record<string, "enabled" | "disabled">>;

  constructor(options: LaunchdOptions) {
    this.#options = options;
    const schema = z.record(z.string(), z.enum(["enabled", "disabled"]));
    this.#overrides = new StateFile(join(options.dir, "launchd.json"), schema, {});
  }

  /** A loaded job (possibly ending), or undefined. */
  job(label: string): Job | undefined {
    return this.#jobs.get(label);
  }

  /** All loaded jobs. */
  jobs(): Job[] {
    return [...this.#jobs.values()];
  }

  /** The labels set by `enable` and `disable`. */
  overrides(): Readonly<Record<string, "enabled" | "disabled">> {
    return this.#overrides.value;
  }

  /**
   * Loads the plist at a real path and starts the job if configured. The reason of a refusal is logged.
   * @throws LaunchdError 5: not a valid plist owned by root, or the label's job is still ending; 37: loaded already;
   *   119: disabled
   */
  bootstrap(plist: string): Job {
    const definition = this.#read(plist);
    const loaded = this.#jobs.get(definition.label);
    if (loaded !== undefined) throw new LaunchdError(loaded.state === "ending" ? 5 : 37);
    const override = this.#overrides.value[definition.label];
    if (override === "disabled" || (definition.disabled && override !== "enabled")) throw new LaunchdError(119);
    const { environment, path, paths, reaper, log } = this.#options;
    const job = new Job(definition, plist, {
      root: paths.root,
      environment: { PATH: path, ...this.#account(definition.userName), ...environment, ...definition.environment },
      obstacle: () => this.#obstacle(definition),
      reaper,
      log,
      onGone: () => void this.#jobs.delete(definition.label),
    });
    this.#jobs.set(definition.label, job);
    job.load();
    return job;
  }

  /**
   * Unloads a job: returns before its process has ended.
   * @throws LaunchdError 3: not loaded; 36: already ending
   */
  bootout(label: string): void {
    const job = this.#jobs.get(label);
    if (job === undefined) throw new LaunchdError(3);
    if (job.state === "ending") throw new LaunchdError(36);
    job.remove();
  }

  /** Enables or disables bootstrapping of a label; survives restarts. A loaded job is not changed. */
  override(label: string, value: "enabled" | "disabled"): void {
    this.#overrides.value[label] = value;
    this.#overrides.save();
  }

  /** Starts a job now. @throws LaunchdError 113: not loaded; 37: it is ending */
  async kickstart(label: string, kill: boolean): Promise<Job> {
    const job = this.#jobs.get(label);
    if (job === undefined) throw new LaunchdError(113);
    if (job.state === "ending") throw new LaunchdError(37);
    await job.kickstart(kill);
    return job;
  }

  /** Loads every plist of /Library/LaunchDaemons, as at boot. Plists that cannot be loaded are logged and skipped. */
  boot(): void {
    const folder = join(this.#options.paths.root, "Library/LaunchDaemons");
    for (const name of readdirSync(folder).sort()) {
      if (!name.endsWith(".plist")) continue;
      try {
        this.bootstrap(join(folder, name));
      } catch (error) {
        this.#options.log(`launchd: ${name} is not loaded: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  /** Everything is killed at once. Resolves when no process is left. */
  async cut(): Promise<void> {
    await Promise.all(this.jobs().map((job) => job.cut()));
  }

  /** Ends all jobs (SIGTERM, ExitTimeOut, SIGKILL). Resolves when no process is left. */
  async shutdown(): Promise<void> {
    await Promise.all(
      this.jobs().map(async (job) => {
        // A job that is ending without a limit must not block the shutdown.
        const limit = job.definition.exitTimeOutSeconds || shutdownLimitSeconds;
        const timer = setTimeout(() => void job.cut(), limit * 1000 + 500);
        job.remove(limit);
        await job.ended();
        clearTimeout(timer);
      }),
    );
  }

  #read(plist: string): JobDefinition {
    const { owners, log } = this.#options;
    const refuse = (why: string): never => {
      log(`launchd: ${plist} is refused: ${why}`);
      throw new LaunchdError(5);
    };
    const stats = lstatSync(plist, { throwIfNoEntry: false });
    if (stats === undefined) return refuse("there is no such file");
    if (!stats.isFile()) return refuse("it is not a regular file");
    const { user, group, mode } = owners.of(plist);
    if (user !== "root" || group !== "wheel" || (mode & 0o022) !== 0) {
      const found = `${user}:${group} 0${mode.toString(8)}`;
      return refuse(`path had bad ownership/permissions (${found}); it must be root:wheel 0644`);
    }
    try {
      const { job, warnings } = readJob(readFileSync(plist, "utf8"));
      if (basename(plist) !== `${job.label}.plist`)
        return refuse(`its name must be ${job.label}.plist, after its Label`);
      for (const warning of warnings) log(`launchd: ${job.label}: ${warning}`);
      return job;
    } catch (error) {
      if (error instanceof LaunchdError) throw error;
      return refuse(`it is not a job: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** Variables launchd sets from the daemon's account. */
  #account(userName: string): Record<string, string> {
    const record = this.#options.directory.get("Users", userName);
    const home = record?.NFSHomeDirectory?.[0] ?? "/var/empty";
    return {
      HOME: join(this.#options.paths.root, home),
      USER: userName,
      LOGNAME: userName,
      SHELL: record?.UserShell?.[0] ?? "/bin/sh",
    };
  }

  /** launchd starts a job's process as its user, and that user opens the log files. */
  #obstacle(job: JobDefinition): string | undefined {
    const { directory, owners } = this.#options;
    if (directory.id("Users", job.userName) === undefined) return `there is no user ${job.userName}`;
    if (job.groupName !== undefined && directory.id("Groups", job.groupName) === undefined) {
      return `there is no group ${job.groupName}`;
    }
    for (const path of [job.program, job.workingDirectory, job.standardOutPath, job.standardErrorPath]) {
      const virtual = path && this.#options.paths.toVirtual(path);
      if (virtual && isPrivate.test(virtual)) return `Operation not permitted: macOS keeps daemons out of ${virtual}`;
    }
    for (const path of [job.standardOutPath, job.standardErrorPath]) {
      if (path === undefined || path.startsWith("/dev/")) continue;
      const exists = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
      const folder = dirname(path);
      if (!exists && lstatSync(folder, { throwIfNoEntry: false }) === undefined) return `there is no folder ${folder}`;
      if (!owners.may(job.userName, "write", exists ? path : folder)) {
        return `${job.userName} may not write ${path}: give the ${exists ? "file" : "folder"} to that user first`;
      }
    }
    return undefined;
  }
}
