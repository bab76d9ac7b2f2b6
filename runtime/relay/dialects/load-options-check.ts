/**
 * Options that make a model server load the model again, so for all callers: only those that the stack's config allows, in
 * its bounds. Pure. Sources: `Runner` in https://github.com/ollama/ollama/blob/main/api/types.go (ollama#8903, ollama#12783),
 * https://lmstudio.ai/docs/app/api/ttl-and-auto-evict
 */
import type { ModelConfig } from "../../model-config.ts";
import { RelayError } from "../errors.ts";
import type { MemberCheck } from "./dialect.ts";

type Allowed = ModelConfig["options"];

/** Members of Ollama's `options` that belong to the loaded model and not to the request. */
const LOAD_OPTIONS = [
  ...["num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock"],
  ...["low_vram", "numa", "f16_kv", "vocab_only", "logits_all", "embedding_only"],
] as const;

/** Longest `options` that is read, in bytes as written. */
const LONGEST = 16 * 1024;

/** Ollama's `options`. Throws `load_option_not_allowed`, which names every member that is not allowed. */
export const optionsCheck: MemberCheck = {
  member: "options",
  longest: LONGEST,
  check(value, shown, { options: allowed }) {
    if (value === undefined) {
      throw new RelayError(
        "load_option_not_allowed",
        `options ${shown} is longer than ${LONGEST} bytes. Send a shorter one.`,
      );
    }
    if (typeof value !== "object" || value === null) return; // the model server says what is wrong
    const members = new Map(Object.entries(value));
    const bad = LOAD_OPTIONS.filter((name) => members.has(name) && !isAllowed(name, members.get(name), allowed));
    if (bad.length > 0)
      throw notAllowed(
        bad.map((name) => [`options.${name}`, members.get(name)]),
        allowed,
      );
  },
};

/** `ttl` of LM Studio: seconds until an idle model is unloaded. Throws `load_option_not_allowed`. */
export const ttlCheck: MemberCheck = {
  member: "ttl",
  longest: 256,
  check(value, shown, { options: allowed }) {
    if (value !== undefined && isAllowed("ttl", value, allowed)) return;
    throw notAllowed([["ttl", value ?? shown]], allowed);
  },
};

function isAllowed(name: string, value: unknown, allowed: Allowed): boolean {
  if (value === null) return true; // as left out
  const rule = allowedOf(name, allowed);
  if (rule === undefined) return false;
  if (typeof rule === "boolean") return rule && typeof value === "boolean";
  return typeof value === "number" && value >= rule.min && value <= rule.max;
}

const allowedOf = (name: string, allowed: Allowed) => new Map(Object.entries(allowed ?? {})).get(name);

function notAllowed(bad: readonly (readonly [name: string, value: unknown])[], allowed: Allowed): RelayError {
  const said = bad.map(([name, value]) => `${name} ${JSON.stringify(value).slice(0, 80)}`).join(", ");
  const bounds = Object.entries(allowed ?? {}).map(([name, rule]) =>
    typeof rule === "object" ? `${name} from ${rule.min} to ${rule.max}` : name,
  );
  const may = bounds.length === 0 ? "no such option" : bounds.join(", ");
  return new RelayError(
    "load_option_not_allowed",
    `${said} would load the model again under other callers. Leave it out; model.options of the stack's config allows ${may}.`,
  );
}
