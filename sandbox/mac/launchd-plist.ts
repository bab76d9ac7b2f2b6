/** A launchd property list, read and checked. Keys: launchd.plist(5). */
import { parse } from "plist";
import { z } from "zod";

/** launchd.plist(5): minimum seconds between two starts of a job. */
const defaultThrottleSeconds = 10;
/** Seconds from SIGTERM to SIGKILL. The manual says "system-defined"; `launchctl print` of macOS 13 to 26 says 5. */
const defaultExitTimeOutSeconds = 5;

const schema = z.looseObject({
  Label: z.string().min(1),
  Program: z.string().min(1).optional(),
  ProgramArguments: z.array(z.string()).min(1).optional(),
  EnvironmentVariables: z.record(z.string(), z.string()).optional(),
  WorkingDirectory: z.string().optional(),
  StandardInPath: z.string().optional(),
  StandardOutPath: z.string().optional(),
  StandardErrorPath: z.string().optional(),
  KeepAlive: z
    .union([z.boolean(), z.looseObject({ SuccessfulExit: z.boolean().optional(), Crashed: z.boolean().optional() })])
    .optional(),
  RunAtLoad: z.boolean().optional(),
  ThrottleInterval: z.number().min(0).optional(),
  ExitTimeOut: z.number().min(0).optional(),
  UserName: z.string().min(1).optional(),
  GroupName: z.string().min(1).optional(),
  Umask: z.union([z.int(), z.string().regex(/^0?[0-7]{1,4}$/)]).optional(),
  Disabled: z.boolean().optional(),
  SoftResourceLimits: z.record(z.string(), z.int()).optional(),
  HardResourceLimits: z.record(z.string(), z.int()).optional(),
});

/** Keys that are valid on a Mac and have no effect here. */
const withoutEffect = [
  "ProcessType",
  "Nice",
  "LowPriorityIO",
  "LowPriorityBackgroundIO",
  "AbandonProcessGroup",
  "SessionCreate",
  "InitGroups",
  "EnableTransactions",
  "EnablePressuredExit",
  "LegacyTimers",
  "AssociatedBundleIdentifiers",
];

/** The settings of a job; times in seconds. */
export interface JobDefinition {
  label: string;
  /** The file to execute. */
  program: string;
  /** Arguments after the program's own name. */
  args: string[];
  /** The program's argv[0]. */
  argv0: string;
  environment: Record<string, string>;
  /** Absent: the Mac's root folder. */
  workingDirectory?: string;
  standardInPath?: string;
  standardOutPath?: string;
  standardErrorPath?: string;
  /** Restart: always, never, or depending on a successful exit or a crash (signal). */
  keepAlive: boolean | { successfulExit?: boolean; crashed?: boolean };
  runAtLoad: boolean;
  throttleSeconds: number;
  /** 0: SIGKILL is never sent. */
  exitTimeOutSeconds: number;
  userName: string;
  groupName?: string;
  umask: number;
  /** The plist's own `Disabled`; `launchctl enable` overrides it. */
  disabled: boolean;
}

/**
 * Reads a property list in XML.
 * @returns the job, and a note per key that has no effect here or that launchd does not know
 * @throws Error naming the problem when it is not a property list or not a job
 */
export function readJob(xml: string): { job: JobDefinition; warnings: string[] } {
  const list: unknown = parse(xml);
  const read = schema.safeParse(list);
  if (!read.success) {
    throw new Error(
      read.error.issues.map((issue) => `${issue.path.join(".") || "plist"}: ${issue.message}`).join("; "),
    );
  }
  const plist = read.data;
  const program = plist.Program ?? plist.ProgramArguments?.[0];
  if (program === undefined) throw new Error("neither Program nor ProgramArguments is set");
  const keepAlive =
    typeof plist.KeepAlive === "object"
      ? { successfulExit: plist.KeepAlive.SuccessfulExit, crashed: plist.KeepAlive.Crashed }
      : (plist.KeepAlive ?? false);
  const conditions = typeof plist.KeepAlive === "object" ? Object.keys(plist.KeepAlive) : [];
  const job: JobDefinition = {
    label: plist.Label,
    program,
    args: plist.ProgramArguments?.slice(1) ?? [],
    argv0: plist.ProgramArguments?.[0] ?? program,
    environment: plist.EnvironmentVariables ?? {},
    workingDirectory: plist.WorkingDirectory,
    standardInPath: plist.StandardInPath,
    standardOutPath: plist.StandardOutPath,
    standardErrorPath: plist.StandardErrorPath,
    keepAlive,
    // An exit condition requires that the job has run: launchd.plist(5), SuccessfulExit.
    runAtLoad: plist.RunAtLoad === true || plist.KeepAlive === true || conditions.length > 0,
    throttleSeconds: plist.ThrottleInterval ?? defaultThrottleSeconds,
    exitTimeOutSeconds: plist.ExitTimeOut ?? defaultExitTimeOutSeconds,
    userName: plist.UserName ?? "root",
    groupName: plist.GroupName,
    umask: typeof plist.Umask === "string" ? Number.parseInt(plist.Umask, 8) : (plist.Umask ?? 0o022),
    disabled: plist.Disabled === true,
  };
  const known = new Set([...Object.keys(schema.shape), ...withoutEffect]);
  const warnings = [
    ...Object.keys(plist)
      .filter((key) => !known.has(key))
      .map((key) => `${key} is not a key this launchd knows`),
    ...conditions
      .filter((key) => key !== "SuccessfulExit" && key !== "Crashed")
      .map((key) => `KeepAlive.${key} has no effect here`),
  ];
  return { job, warnings };
}

/** Whether a job with this exit is restarted. One of several conditions suffices: launchd.plist(5). */
export function restarts(job: JobDefinition, exit: { code: number | null; signal: NodeJS.Signals | null }): boolean {
  if (typeof job.keepAlive === "boolean") return job.keepAlive;
  const { successfulExit, crashed } = job.keepAlive;
  const isSuccess = exit.code === 0;
  const isCrash = exit.signal !== null;
  return (
    (successfulExit !== undefined && successfulExit === isSuccess) || (crashed !== undefined && crashed === isCrash)
  );
}
