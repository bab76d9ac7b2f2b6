/** How a question gets its answer: from a flag, from what is the only choice, from the person at the terminal. */
import { confirm, input, select } from "@inquirer/prompts";
import { InitRefusal } from "../refusal.ts";

/** One of several. */
export interface Choice<T> {
  readonly value: T;
  /** For a person; one line. */
  readonly shown: string;
  /** What a flag may say for it: id and name. */
  readonly keys: readonly string[];
}

/** What every question has. */
interface Question {
  /** `--zone` */
  readonly flag: string;
  /** What was given with it. */
  readonly given: string | undefined;
  readonly question: string;
}

/** Asks, or takes what is known. Every answer has passed its check. */
export interface Asker {
  /** Whether somebody is there to answer. */
  readonly asks: boolean;
  /** @throws InitRefusal when the flag names none of them, or nobody can be asked which one */
  choose<T>(about: Question & { choices: readonly Choice<T>[]; preferred?: T | undefined }): Promise<T>;
  /** @throws InitRefusal when the flag's value has a fault, or nobody can be asked and nothing is preferred */
  text(
    about: Question & { preferred?: string | undefined; fault?: (text: string) => string | undefined },
  ): Promise<string>;
  /** @returns yes or no; without anybody to ask `unasked` */
  agree(question: string, unasked: boolean): Promise<boolean>;
}

/** @param asks false: with `--yes` */
export function asker(asks: boolean): Asker {
  return {
    asks,
    async choose({ flag, given, question, choices, preferred }) {
      if (given !== undefined) {
        const found = choices.find(({ keys }) => keys.includes(given));
        if (found) return found.value;
        throw new InitRefusal(`${flag} is ${JSON.stringify(given)}: it must be one of ${listed(choices)}`);
      }
      const [only, ...others] = choices;
      if (only && others.length === 0) return only.value;
      if (asks) {
        return select({
          message: question,
          choices: choices.map(({ value, shown }) => ({ value, name: shown })),
          ...(preferred !== undefined && { default: preferred }),
        });
      }
      if (preferred !== undefined) return preferred;
      throw new InitRefusal(`${question} Say it with ${flag}: ${listed(choices)}`);
    },
    async text({ flag, given, question, preferred, fault }) {
      const answer = given ?? (asks ? undefined : preferred);
      if (answer !== undefined) {
        const wrong = fault?.(answer);
        if (wrong) throw new InitRefusal(`${flag}: ${wrong}`);
        return answer;
      }
      if (!asks) throw new InitRefusal(`${question} Say it with ${flag}`);
      return input({
        message: question,
        ...(preferred !== undefined && { default: preferred }),
        validate: (text) => fault?.(text.trim()) ?? true,
      }).then((text) => text.trim());
    },
    agree: async (question, unasked) => (asks ? confirm({ message: question, default: false }) : unasked),
  };
}

const listed = (choices: readonly Choice<unknown>[]): string =>
  choices.map(({ shown }) => shown).join("; ") || "none: there is nothing to choose from";
