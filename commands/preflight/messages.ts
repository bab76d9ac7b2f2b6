/** The findings of preflight's own checks, and the report, in both languages. Those about the accounts: accounts/messages.ts. */
import { type FindingMakers, findingMakers, type Language } from "../../accounts/finding.ts";
import { en, type Messages } from "./messages/en.ts";
import { ko } from "./messages/ko.ts";

export const MESSAGES: Readonly<Record<Language, Messages>> = { en, ko };

export const { ok, warn, fail }: FindingMakers<Messages> = findingMakers(MESSAGES);
