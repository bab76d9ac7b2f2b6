/** The doctor's messages in the language of the report. */
import type { Language } from "../language.ts";
import { en, type Messages } from "./messages/en.ts";
import { ko } from "./messages/ko.ts";

export const MESSAGES: Readonly<Record<Language, Messages>> = { en, ko };

/** @param language @default English */
export const messagesIn = ({ language = "en" }: { readonly language?: Language | undefined }): Messages =>
  MESSAGES[language];
