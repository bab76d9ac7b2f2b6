/** Asks a Mac everything that the checks want to know. */
import type { MacSession } from "../../ssh/session.ts";
import { SessionError } from "../../ssh/session.ts";
import type { MacEntry } from "../mac-settings.ts";
import type { Answers } from "./checks.ts";
import type { Answer, Expected } from "./finding.ts";
import { type Question, questions } from "./questions.ts";

/** sshd refuses more than ten at once on one connection (MaxSessions of sshd_config(5)). */
const atOnce = 4;
/** `system_profiler` takes some seconds on a Mac that has just started. */
const timeoutMs = 30_000;
/** The installer waits for a connection and for the server's keep-alive message. */
const directTimeoutMs = 60_000;

/** @returns what was said, and when the clock was asked. @throws SessionError when the connection breaks */
export async function ask(
  session: Pick<MacSession, "run">,
  mac: MacEntry,
  settings: Parameters<typeof questions>[1],
): Promise<{ answers: Answers; asked: Expected["asked"] }> {
  const answers: Answers = {};
  const { clock, modelProbe, ...others } = questions(mac, settings);
  // By itself: what runs beside it would make the time in between longer.
  const from = Date.now();
  answers.clock = await answerOf(session, clock);
  const asked = { from, to: Date.now() };
  const left = Object.entries(others) as [Question, string][];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      answers[next[0]] = await answerOf(session, next[1], next[0] === "direct" ? directTimeoutMs : timeoutMs);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  // By itself as well: it measures times.
  answers.modelProbe = await answerOf(session, modelProbe);
  return { answers, asked };
}

async function answerOf(session: Pick<MacSession, "run">, command: string, limitMs = timeoutMs): Promise<Answer> {
  try {
    return await session.run(command, { timeoutMs: limitMs });
  } catch (error) {
    if (error instanceof SessionError && error.code === "timeout") return { unanswered: "no answer in time" };
    throw error;
  }
}
