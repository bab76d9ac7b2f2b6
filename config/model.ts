/** The part of the stack's config about the model server, and the one that may stand in for it: `model` and `fallback`. */
import { z } from "zod";
import { modelServiceSchema } from "../runtime/install-input-schema.ts";
import { fallbackSchema, loadOptionsSchema, modelSchema } from "../runtime/model-config.ts";
import { loginName, plistProblem, withMessage } from "./rule-helpers.ts";

const absolute = (what: string) => withMessage(`is not an absolute path: ${what}`);

/** A text that stands in the plist of the model server's daemon. */
const plistText = (message: string) =>
  z.string(withMessage(message)).refine((text) => plistProblem(text) === undefined, {
    error: ({ input }) => plistProblem(String(input)) ?? "",
  });

/** `model.service`: launchd starts the model server at boot, without a login. */
const modelServiceConfigSchema = modelServiceSchema.extend({
  program: plistText("is missing: the model server's program on the Mac, e.g. /opt/homebrew/bin/ollama").startsWith(
    "/",
    absolute("launchd looks nowhere else, e.g. /opt/homebrew/bin/ollama"),
  ),
  args: z.array(plistText("must be a text: put it in quotes")).default([]),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, withMessage("is not a variable name, e.g. OLLAMA_NUM_PARALLEL")),
      plistText("must be a text, as launchd takes no other: put it in quotes"),
    )
    .default({}),
  user: z
    .string(withMessage("is missing: the account on the Mac whose home has the models"))
    .min(1, withMessage("is empty: the account on the Mac whose home has the models"))
    .regex(loginName, withMessage("is not an account name: letters, digits, and . _ @ -, not beginning with -"))
    .refine(
      (user) => user !== "root",
      withMessage("is more than a model server needs: name the account that has the models"),
    ),
  workingDirectory: plistText("is not text: a folder on the Mac")
    .startsWith("/", absolute("or leave it out: then it is the account's home"))
    .optional(),
});

const range = z
  .strictObject(
    {
      min: z.int(withMessage("is not a whole number")).min(-1, withMessage("is under -1")),
      max: z.int(withMessage("is not a whole number")),
    },
    withMessage("is no range: write { min: 2048, max: 16384 }"),
  )
  .refine(({ min, max }) => min <= max, withMessage("has a min above its max"));
const may = z.literal(true, withMessage("must be true, or left out: then callers may not send it"));

/** `model.options`: load options that callers may send, each with its bounds. */
const loadOptionsConfigSchema = loadOptionsSchema.extend({
  num_ctx: range.optional(),
  num_batch: range.optional(),
  num_gpu: range.optional(),
  main_gpu: range.optional(),
  num_thread: range.optional(),
  use_mmap: may.optional(),
  use_mlock: may.optional(),
  ttl: range.optional(),
});

/** `model` of the stack's config. */
export const modelConfigSchema = z
  .object({
    kind: modelSchema.shape.kind.default("ollama"),
    url: z
      .url({ protocol: /^https?$/, error: "is not an http(s) URL, e.g. http://127.0.0.1:11434" })
      .default("http://127.0.0.1:11434"),
    embeddingModel: z
      .string(withMessage("is missing: the embedding model's name on the model server, e.g. bge-m3"))
      .min(1, withMessage("is empty: e.g. bge-m3")),
    rerankModel: z
      .string(withMessage("is not text: the reranker's name on the model server"))
      .min(1, withMessage("is empty: name the reranker on the model server, or remove it"))
      .optional(),
    allowed: modelSchema.shape.allowed,
    options: loadOptionsConfigSchema.optional(),
    timeouts: modelSchema.shape.timeouts,
    service: modelServiceConfigSchema.optional(),
  })
  .strict();

/** `fallback` of the stack's config. */
export const fallbackConfigSchema = fallbackSchema.extend({
  url: z
    .url({ protocol: /^https?$/, error: "is not an http(s) URL, e.g. https://api.openai.com" })
    .refine(
      (url) => !/\/v1\/*$/.test(url),
      withMessage("ends with /v1: leave that out, the relay adds it, e.g. https://api.openai.com"),
    ),
  companies: z
    .array(
      z.string().min(1, withMessage("a company's name is empty: remove the entry or name the company")),
      withMessage("is missing: list the companies that agreed to have requests sent off-premises"),
    )
    .min(1, withMessage("is empty: list the companies that agreed, or remove `fallback`")),
});
