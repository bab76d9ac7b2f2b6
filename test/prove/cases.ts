/** All cases, in the order of the table. */
import type { Case } from "./case.ts";
import { inventedCompanies, noisyCompany, tenNoisyCompanies } from "./cases/companies.ts";
import { documentsFill } from "./cases/documents-fill.ts";
import { hostileText } from "./cases/hostile-text.ts";
import { imageEstimate } from "./cases/image-estimate.ts";
import { jobAnswers, jobDisk, jobsTakeSlots, keyedAnswers } from "./cases/jobs.ts";
import { keepAlive } from "./cases/keep-alive.ts";
import { floatDocuments, hugeText } from "./cases/large-documents.ts";
import { largeJsonDeep, largeJsonFlat, largeJsonNested } from "./cases/large-json.ts";
import { leaving } from "./cases/leaving.ts";
import {
  documentPuts,
  eventStreams,
  keptAnswers,
  openUploads,
  parallelResults,
  repeatedResults,
  slowUploads,
} from "./cases/memory.ts";
import { queueFill, queueFillBytes, queueFillStreams } from "./cases/queue-fill.ts";
import { longForFewTokens, slotlessCalls } from "./cases/slots.ts";
import { unreadAnswers } from "./cases/unread-answers.ts";

export const CASES: readonly Case[] = [
  keepAlive,
  hostileText,
  largeJsonFlat,
  largeJsonNested,
  largeJsonDeep,
  floatDocuments,
  hugeText,
  imageEstimate,
  queueFill,
  queueFillBytes,
  queueFillStreams,
  noisyCompany,
  tenNoisyCompanies,
  inventedCompanies,
  jobsTakeSlots,
  longForFewTokens,
  slotlessCalls,
  unreadAnswers,
  leaving,
  slowUploads,
  openUploads,
  documentPuts,
  keptAnswers,
  parallelResults,
  repeatedResults,
  eventStreams,
  jobDisk,
  keyedAnswers,
  jobAnswers,
  documentsFill,
];

/** @throws when there is none, with the names that there are */
export function caseNamed(name: string): Case {
  const found = CASES.find((one) => one.name === name);
  if (found === undefined) {
    const names = CASES.map((one) => one.name).join(", ");
    throw new Error(`There is no case ${JSON.stringify(name)}. The cases: ${names}`);
  }
  return found;
}

/** `count` different pairs whose quiet caller is the same one, chosen by `random` in [0, 1). */
export function randomPairs(count: number, random: () => number): (readonly [Case, Case])[] {
  const all = CASES.flatMap((one, i) =>
    CASES.slice(i + 1).flatMap((other) => (one.quietIs === other.quietIs ? [[one, other] as const] : [])),
  );
  const chosen: (readonly [Case, Case])[] = [];
  while (chosen.length < count && all.length > 0) chosen.push(...all.splice(Math.floor(random() * all.length), 1));
  return chosen;
}
