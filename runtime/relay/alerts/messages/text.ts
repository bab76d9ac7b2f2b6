/** A message's text. */
import type { WebhookForm } from "../../../alert-config.ts";
import type { AlertMessage } from "../alerts.ts";
import { en } from "./en.ts";
import { ko } from "./ko.ts";
import type { Words } from "./words.ts";

export const WORDS: Readonly<Record<WebhookForm["language"], Words>> = { en, ko };

export function textOf({ kind, isResolved, subject, detail }: AlertMessage, language: WebhookForm["language"]): string {
  const words = WORDS[language];
  return words[isResolved ? "resolved" : "raised"][kind](subject, detail);
}
