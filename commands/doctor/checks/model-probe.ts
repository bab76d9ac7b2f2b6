/**
 * What of the model server only shows when it is asked to compute: is a repeated prompt warm, and can its vectors be
 * reproduced? A few short requests, on the Mac itself, straight to the model server; bounded in time.
 */
import { z } from "zod";
import { withoutSlash } from "../../../runtime/base-url.ts";
import { quote } from "../../../runtime/shell.ts";
import { cosine, SAME_VECTOR, warmState } from "../../capacity/probes.ts";
import type { MacSettings } from "../../mac-settings.ts";
import { type Answer, type Context, defineCheck, fail, ok, outputOf, type Result, unknown, warn } from "../check.ts";
import { node, root } from "../commands.ts";
import { parseJson } from "../json.ts";
import type { Messages } from "../messages/en.ts";
import { messagesIn } from "../messages.ts";

/** Seconds that all of it may take. */
const WITHIN_S = 25;

/**
 * Run by the relay's own Node on the Mac. Prints JSON: times to the first token in ms (of a short prompt, of a long one, of
 * the same long one after others), the tokens that the server counted, and the vectors of one text, alone and after a text
 * with the same beginning.
 */
const script = `
const [url, embeddingModel, allowed, slots, secrets] = process.argv.slice(1);
const signal = AbortSignal.timeout(${WITHIN_S} * 1000);
const { modelKey } = secrets ? JSON.parse(require("node:fs").readFileSync(secrets, "utf8")) : {};
const key = modelKey ? { authorization: "Bearer " + modelKey } : {};
const post = (path, body) => fetch(url + path, { method: "POST", headers: { ...key, "content-type": "application/json" }, body: JSON.stringify(body), signal });
const words = "the office keeps a list of tools that people borrow and bring back every week so that others find what they need".split(" ");
const run = Date.now();
const text = (seed, count) => Array.from({ length: count }, (_, i) => words[(seed * 7 + i * (1 + seed % 5) + ((i * i) >> 3)) % words.length]).join(" ");
const said = {};
const vectors = async () => {
  const embed = async (input) => {
    const answer = await post("/v1/embeddings", { model: embeddingModel, input, encoding_format: "float" });
    if (!answer.ok) throw new Error("embeddings: " + answer.status);
    return (await answer.json()).data[0].embedding;
  };
  const beginning = run + " " + text(1, 80), probe = beginning + " " + text(2, 40);
  said.alone = await embed(probe);
  await embed(beginning + " " + text(3, 160));
  said.again = await embed(probe);
};
const warm = async () => {
  const listed = await fetch(url + "/v1/models", { headers: key, signal });
  if (!listed.ok) throw new Error("list: " + listed.status);
  const list = await listed.json();
  const names = allowed ? JSON.parse(allowed) : list.data.map(({ id }) => id);
  const model = names.find((name) => name !== embeddingModel && !/embed|bge|e5-|minilm|gte-/i.test(name)) ?? names.find((name) => list.data.length === 1);
  if (!model) throw new Error("it has no model that talks");
  const ask = async (content) => {
    const from = performance.now();
    const answer = await post("/v1/chat/completions", { model, messages: [{ role: "user", content }], max_tokens: 1, temperature: 0 });
    if (!answer.ok) throw new Error("chat: " + answer.status);
    const { usage } = await answer.json();
    return { ms: performance.now() - from, cached: usage?.prompt_tokens_details?.cached_tokens, prompt: usage?.prompt_tokens };
  };
  await ask(run + " wake up");
  said.short = await ask(run + " hello");
  said.first = await ask(run + "-0 " + text(11, 500));
  for (let i = 1; i <= Number(slots) + 1; i++) await ask(run + "-" + i + " " + text(11 + i, 500));
  said.repeated = await ask(run + "-0 " + text(11, 500));
};
const tried = (work, name) => work().catch((error) => { said[name] = error.name === "TimeoutError" ? "it took over ${WITHIN_S} s" : error.message; });
tried(vectors, "noVectors").then(() => tried(warm, "noWarm")).then(() => console.log(JSON.stringify(said)));`;

/**
 * @param node path of the relay's Node on the Mac, as the shell takes it
 * @param secrets file with the model server's key, as the shell takes it; the key never leaves the Mac
 * @returns the command that asks the model server
 */
export function modelProbe(
  node: string,
  { model, limits }: Pick<MacSettings, "model" | "limits">,
  secrets?: string,
): string {
  const url = withoutSlash(model.url);
  const args = [
    url,
    model.embeddingModel,
    model.allowed ? JSON.stringify(model.allowed) : "",
    String(Math.min(limits.chat, 8)),
  ];
  return `${node} -e ${quote(script)} ${args.map(quote).join(" ")}${secrets === undefined ? "" : ` ${secrets}`}`;
}

const timed = z.object({ ms: z.number(), cached: z.number().optional(), prompt: z.number().optional() });
const saidSchema = z.object({
  alone: z.array(z.number()).optional(),
  again: z.array(z.number()).optional(),
  short: timed.optional(),
  first: timed.optional(),
  repeated: timed.optional(),
  noVectors: z.string().optional(),
  noWarm: z.string().optional(),
});

/** @returns what the probe printed, or why there is nothing */
function said(context: Context, answer: Answer | undefined): Said | Result {
  return parseJson(saidSchema, outputOf(answer)) ?? unknown(context, answer);
}

const shared = {
  // It measures times: nothing may run next to it.
  alone: true,
  commands: ({ model, modelKey, limits }: Context) => ({
    probe:
      modelKey === undefined
        ? modelProbe(node, { model, limits })
        : modelProbe(`sudo -n ${node}`, { model, limits }, `${root}/etc/slm-network/secrets.json`),
  }),
};

export const repeatedPrompts = defineCheck({
  ...shared,
  name: "repeated prompts",
  evaluate({ probe }, context) {
    const found = said(context, probe);
    return "level" in found ? found : promptResult(messagesIn(context).modelProbe, found);
  },
});

export const reproducibleVectors = defineCheck({
  ...shared,
  name: "vectors",
  evaluate({ probe }, context) {
    const found = said(context, probe);
    return "level" in found ? found : vectorResult(messagesIn(context).modelProbe, found);
  },
});

type Said = z.infer<typeof saidSchema>;

/** Some versions of llama-server list their models without a key, and want it only here. */
const isDenied = (why: string | undefined): boolean => why !== undefined && /: 40[13]$/.test(why);

function promptResult(say: Messages["modelProbe"], { short, first, repeated, noWarm }: Said): Result {
  if (isDenied(noWarm)) return fail(...say.denied());
  if (!short || !first || !repeated) return ok(say.unknown(noWarm ?? "not asked"));
  const usage = { cachedTokens: repeated.cached, promptTokens: repeated.prompt };
  const times = say.times(Math.round(first.ms), Math.round(repeated.ms));
  switch (warmState(short.ms, first.ms, repeated.ms, usage)) {
    case "warm":
      return ok(say.warm(times));
    case "unknown":
      return ok(say.noDifference(times));
    case "cold":
      return warn(...say.cold(times));
  }
}

function vectorResult(say: Messages["modelProbe"], { alone, again, noVectors }: Said): Result {
  if (isDenied(noVectors)) return fail(...say.denied());
  if (!alone || !again) return ok(say.unknown(noVectors ?? "not asked"));
  const same = cosine(alone, again);
  const found = say.cosine(same.toFixed(4));
  return same >= SAME_VECTOR ? ok(found) : warn(...say.differ(found, SAME_VECTOR));
}
