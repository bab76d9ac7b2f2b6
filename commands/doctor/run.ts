/** Runs the checks on a Mac. */
import type { MacSession } from "../../ssh/session.ts";
import { SessionError } from "../../ssh/session.ts";
import type { Answer, Check, Context, Finding, Part, Result } from "./check.ts";

/** sshd refuses more than ten sessions at once on one connection (MaxSessions of sshd_config(5)). */
const atOnce = 4;
/** `system_profiler` takes some seconds on a Mac that has just started. */
const defaultTimeoutMs = 30_000;

type Session = Pick<MacSession, "run">;

/** @returns one finding per check that applies, in the order of `checks`. @throws SessionError when the connection breaks */
export async function runChecks(session: Session, checks: readonly Check[], context: Context): Promise<Finding[]> {
  const asked = checks.map((check) => ({ check, commands: check.commands(context) }));
  const answers = new Map<string, Answer>();
  const timeouts = new Map<string, number>();
  for (const { check, commands } of asked) {
    for (const command of present(commands))
      timeouts.set(command, Math.max(check.timeoutMs ?? defaultTimeoutMs, timeouts.get(command) ?? 0));
  }
  const ask = async (command: string): Promise<void> => {
    answers.set(command, await answerOf(session, command, timeouts.get(command) ?? defaultTimeoutMs));
  };
  for (const { check, commands } of asked) {
    if (!check.alone) continue;
    for (const command of present(commands)) if (!answers.has(command)) await ask(command);
  }
  const left = [...new Set(asked.flatMap(({ commands }) => present(commands)))].filter((one) => !answers.has(one));
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      await ask(next);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return asked.flatMap(({ check, commands }) => {
    const own = Object.entries(commands).map(([key, command]) => [key, answers.get(command ?? "")]);
    const result = check.evaluate(Object.fromEntries(own), context);
    return findingsOf(check.name, result);
  });
}

function findingsOf(name: string, result: Result | readonly Part[] | undefined): Finding[] {
  if (result === undefined) return [];
  if ("level" in result) return [{ check: name, ...result }];
  return result.map(({ subject, ...part }) => ({ check: `${name} of ${subject}`, ...part }));
}

const present = (commands: Readonly<Partial<Record<string, string>>>): string[] =>
  Object.values(commands).filter((command) => command !== undefined);

async function answerOf(session: Session, command: string, timeoutMs: number): Promise<Answer> {
  const startedAt = Date.now();
  try {
    const ran = await session.run(command, { timeoutMs });
    return { ...ran, startedAt, endedAt: Date.now() };
  } catch (error) {
    if (error instanceof SessionError && error.code === "timeout") return { unanswered: "no answer in time" };
    throw error;
  }
}

/** @returns 1 when a check failed, else 0 */
export const exitCode = (found: readonly Finding[]): 0 | 1 => (found.some(({ level }) => level === "fail") ? 1 : 0);
