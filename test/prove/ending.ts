/** Ends what a run started when the run itself ends in the middle: by a signal, or by an error that nobody caught. */
import { execFileSync } from "node:child_process";

/** Between looking for processes and killing them an sshd may start another one. */
const ROUNDS = 5;
/** Ends by itself when this process is gone, and kills groups whose leader has lost its parent. */
const REAPER = /\/reaper\.ts$/;
const LIST = ["-axo", "pid=,ppid=,stat=,command="];
const steps = new Set<() => void>();
let listens = false;
let kills = false;

/** Processes below `root`, children first, without reapers. Sessions and process groups of their own count as well. */
export function processesBelow(root: number): number[] {
  const rows = execFileSync("ps", LIST, { encoding: "utf8" }).trimEnd().split("\n");
  const children = new Map<number, number[]>();
  for (const row of rows) {
    const [, pid, parent, state = "", command = ""] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(row) ?? [];
    if (state.startsWith("Z") || REAPER.test(command) || command === `ps ${LIST.join(" ")}`) continue;
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(pid)]);
  }
  const below = (pid: number): number[] => (children.get(pid) ?? []).flatMap((one) => [...below(one), one]);
  return below(root);
}

function killBelow(): void {
  for (let round = 0; round < ROUNDS; round += 1) {
    const left = processesBelow(process.pid);
    if (left.length === 0) return;
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL"); // ends stopped ones as well
      } catch {
        // It has ended.
      }
    }
  }
}

function listen(): void {
  if (listens) return;
  listens = true;
  process.on("exit", () => {
    if (kills) killBelow();
    for (const step of [...steps].reverse()) {
      try {
        step();
      } catch (cause) {
        process.stderr.write(`${String(cause)}\n`);
      }
    }
  });
}

/** Runs a step at the end of this process; the last one first. @returns takes it back, when its work has been done */
export function atExit(step: () => void): () => void {
  listen();
  steps.add(step);
  return () => void steps.delete(step);
}

/** Call once at the start: the end of this process kills every process below it. SIGINT, SIGTERM and SIGHUP end it with code 2. */
export function endEverythingAtExit(): void {
  listen();
  kills = true;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(2));
}
