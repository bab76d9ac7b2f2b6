/** The findings about the accounts, in both languages. */
import { type FindingMakers, findingMakers, type Language } from "./finding.ts";
import { en, type Messages } from "./messages/en.ts";
import { ko } from "./messages/ko.ts";

export const MESSAGES: Readonly<Record<Language, Messages>> = { en, ko };

export const { ok, warn, fail }: FindingMakers<Messages> = findingMakers(MESSAGES);
