/**
 * `metadata` of a request: the caller's notes, kept with its job. The limits are OpenAI's.
 * Source: https://platform.openai.com/docs/api-reference/responses/create#responses-create-metadata
 */
import { z } from "zod";
import { RelayError } from "../errors.ts";
import { type BodyFacts, memberValue } from "../http/body-rules.ts";
import type { JobMetadata } from "./store.ts";

const MAX_KEYS = 16;
const MAX_KEY = 64;
const MAX_VALUE = 512;
/** Longest metadata that is parsed, in bytes as written: each character escaped takes 12. */
const MAX_BYTES = MAX_KEYS * (MAX_KEY + MAX_VALUE) * 12 + 4096;

const wellFormed = (text: string): boolean => text.isWellFormed();

export const metadataSchema = z
  .record(
    z.string().max(MAX_KEY).refine(wellFormed, "is not UTF-8"),
    z.string().max(MAX_VALUE).refine(wellFormed, "is not UTF-8"),
  )
  .refine((all) => Object.keys(all).length <= MAX_KEYS, `has more than ${MAX_KEYS} keys`);

/**
 * The metadata of a body for a job; undefined if it has none (or null). @throws RelayError `metadata_invalid`
 */
export function readMetadata(body: Buffer, { scan }: BodyFacts): JobMetadata | undefined {
  const members = scan.members.filter(({ key }) => key === "metadata");
  const member = members.at(-1);
  if (member === undefined) return undefined;
  const value = memberValue(body, member, MAX_BYTES);
  if (value === null) return undefined;
  const parsed = metadataSchema.safeParse(value ?? "");
  if (parsed.success) return parsed.data;
  const { path = [], message = "" } = parsed.error.issues[0] ?? {};
  const shown = body.toString("utf8", member.start, Math.min(member.end, member.start + 80));
  throw new RelayError(
    "metadata_invalid",
    `${["metadata", ...path].join(".")}: ${message} (metadata is ${shown}). Send an object of at most ${MAX_KEYS} texts: keys up to ${MAX_KEY} characters, values up to ${MAX_VALUE}.`,
  );
}
