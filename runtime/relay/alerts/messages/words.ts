/** What each language has: the words of every kind of alert. A kind without its words does not compile. */
import type { AlertKind } from "../../../alert-config.ts";
import type { AlertDetail } from "../alerts.ts";

/** @param subject what it is about @param detail its numbers */
type Sentence = (subject: string, detail: AlertDetail) => string;

export interface Words {
  readonly raised: Readonly<Record<AlertKind, Sentence>>;
  readonly resolved: Readonly<Record<AlertKind, Sentence>>;
  /** The message of `npm run alerts -- --test`. */
  readonly test: string;
}
