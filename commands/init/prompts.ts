/** Answers to questions: from an option, from the only choice, or from the user at the terminal. */
import { confirm, input, password, select } from "@inquirer/prompts";
import { Refusal } from "../errors.ts";

/** One choice of several. */
export interface Choice<T> {
  readonly value: T;
  /** As shown; one line. */
  readonly shown: string;
  /** Values of the option that select it: id and name. */
  readonly keys: readonly string[];
}

/** The parts that every question has. */
interface Question {
  /** `--zone` */
  readonly flag: string;
  /** The option's value. */
  readonly given: string | undefined;
  readonly question: string;
}

/** Asks, or takes what is known. Every answer has been validated. */
export interface Asker {
  /** Whether there is a terminal to ask at. */
  readonly asks: boolean;
  /** @throws Refusal when the option matches none of them, or nobody can be asked */
  choose<T>(about: Question & { choices: readonly Choice<T>[]; preferred?: T | undefined }): Promise<T>;
  /** @throws Refusal when the option's value is invalid, or nobody can be asked and there is no default */
  text(
    about: Question & { preferred?: string | undefined; fault?: (text: string) => string | undefined },
  ): Promise<string>;
  /** Asks for a value that is not shown. @throws Refusal when nobody can be asked or the answer is empty */
  secret(question: string): Promise<string>;
  /** @returns the answer; `unasked` when nobody can be asked */
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
        throw new Refusal(`${flag} is ${JSON.stringify(given)}: it must be one of ${listed(choices)}`);
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
      throw new Refusal(`${question} Set ${flag}: ${listed(choices)}`);
    },
    async text({ flag, given, question, preferred, fault }) {
      const answer = given ?? (asks ? undefined : preferred);
      if (answer !== undefined) {
        const wrong = fault?.(answer);
        if (wrong) throw new Refusal(`${flag}: ${wrong}`);
        return answer;
      }
      if (!asks) throw new Refusal(`${question} Set ${flag}`);
      return input({
        message: question,
        ...(preferred !== undefined && { default: preferred }),
        validate: (text) => fault?.(text.trim()) ?? true,
      }).then((text) => text.trim());
    },
    async secret(question) {
      if (!asks) throw new Refusal(question);
      return password({ message: question, mask: true, validate: (text) => text.trim() !== "" || "It is empty" });
    },
    agree: async (question, unasked) => (asks ? confirm({ message: question, default: false }) : unasked),
  };
}

const listed = (choices: readonly Choice<unknown>[]): string =>
  choices.map(({ shown }) => shown).join("; ") || "there is nothing to choose from";
