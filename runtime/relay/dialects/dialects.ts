/** The dialects that the relay speaks, one line each. */
import { ANTHROPIC } from "./anthropic.ts";
import type { Dialect } from "./dialect.ts";
import { OLLAMA } from "./ollama.ts";
import { OPENAI } from "./openai.ts";

export const DIALECTS: readonly Dialect[] = [
  OPENAI, // the first one also writes the errors of requests that belong to none
  ANTHROPIC,
  OLLAMA,
];
