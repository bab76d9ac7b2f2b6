/** What a check of the doctor is: the commands it runs on the Mac and what it concludes from their output, in one file. */
import type { CommandResult } from "../../ssh/session.ts";
import type { Language } from "../language.ts";
import type { MacEntry, MacSettings } from "../mac-settings.ts";
import type { Messages } from "./messages/en.ts";
import { messagesIn } from "./messages.ts";

/** `fail`: the service does not work, or does not recover unattended. `warn`: it may cause trouble later. */
export type Level = "ok" | "warn" | "fail";

/** What a check concluded. */
export interface Result {
  readonly level: Level;
  /** What was found. */
  readonly found: string;
  /** The consequence; with `warn` and `fail`. */
  readonly means?: string | undefined;
  /** How to fix it. */
  readonly todo?: string | undefined;
}

/** A check's conclusion about one of several things of its kind. */
export interface Part extends Result {
  /** Which one. The report shows `<the check's name> of <subject>`. */
  readonly subject: string;
}

/** A check's name and its conclusion. */
export interface Finding extends Result {
  /** The same in every language. */
  readonly check: string;
}

/** What a command printed and when it ran (ms since 1970 by this machine's clock), or why there is no output. */
export type Answer =
  | (CommandResult & { readonly startedAt?: number; readonly endedAt?: number })
  | { readonly unanswered: string };

/** What the answers are compared with: the stack's config. */
export interface Context extends Pick<MacSettings, "model" | "modelKey" | "limits" | "jobs" | "documents"> {
  readonly mac: MacEntry;
  /** Cloudflare locations where the tunnel should be connected; empty when any will do. */
  readonly expectColo: readonly string[];
  /** Servers in route.direct. */
  readonly directServers: readonly string[];
  /** Of the findings. @default English */
  readonly language?: Language | undefined;
}

/** Answers by the check's own names for its commands. */
export type Answers<K extends string = string> = Readonly<Partial<Record<K, Answer>>>;

/** One check. To add one: a file in checks/, a line in checks.ts, and its title and words in messages/. */
export interface Check<K extends string = string> {
  /** A title of the messages: the report shows it in its language. */
  readonly name: keyof Messages["titles"];
  /**
   * Commands by a name of the check's choice. A POSIX shell on the Mac runs each; none changes anything and none prints a
   * secret. The same command of two checks runs once.
   */
  commands(context: Context): Readonly<Partial<Record<K, string>>>;
  /** @returns the conclusion, or one for each thing of its kind; undefined when the check does not apply to this stack */
  evaluate(answers: Answers<K>, context: Context): Result | readonly Part[] | undefined;
  /** Limit for each of its commands. @default 30 seconds */
  readonly timeoutMs?: number;
  /** Runs before the others and alone: the time its command takes is part of its measurement. @default false */
  readonly alone?: boolean;
}

/** Infers the names of a check's commands. */
export const defineCheck = <const K extends string>(check: Check<K>): Check<K> => check;

/** @returns standard output when the command ran and succeeded */
export function outputOf(answer: Answer | undefined): string | undefined {
  return answer && !("unanswered" in answer) && answer.exitCode === 0 ? answer.stdout : undefined;
}

export const ok = (found: string): Result => ({ level: "ok", found });
export const warn = (found: string, means: string, todo?: string): Result => ({ level: "warn", found, means, todo });
export const fail = (found: string, means: string, todo?: string): Result => ({ level: "fail", found, means, todo });

/** The check could not be made. */
export function unknown(context: Pick<Context, "language">, answer: Answer | undefined, todo?: string): Result {
  const say = messagesIn(context).unknown;
  const reason =
    answer === undefined
      ? say.notAsked
      : "unanswered" in answer
        ? answer.unanswered
        : (answer.stderr.trim() || answer.stdout.trim()).split("\n")[0] || say.exitCode(answer.exitCode);
  return warn(say.found(reason), say.means, todo);
}
