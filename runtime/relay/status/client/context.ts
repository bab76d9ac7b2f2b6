/** What every part of the page is rendered with. */
import type { createFormat } from "../format.ts";
import type { MessageKey } from "../messages.ts";
import type { Language, PageState, Span, UsageAnswer } from "../page-data.ts";
import type { Live } from "./live.ts";

export type Translate = (key: MessageKey, values?: Readonly<Record<string, string | number>>) => string;

/** The history that is shown. */
export interface History {
  readonly span: Span;
  /** Undefined before the first answer. */
  readonly usage: UsageAnswer | undefined;
  /** The last question was not answered. */
  readonly failed: boolean;
}

/** Who reads. */
export interface Reader {
  readonly who: string;
  readonly isOperator: boolean;
}

export interface Context {
  readonly state: PageState;
  readonly live: Live;
  readonly history: History;
  readonly reader: Reader;
  readonly language: Language;
  readonly t: Translate;
  readonly format: ReturnType<typeof createFormat>;
  /** By the relay's clock, in ms since 1970. */
  readonly now: number;
  /** What the page can do. */
  readonly act: {
    chooseSpan(span: Span): void;
    cancelJob(id: string, caller: string): void;
  };
}
