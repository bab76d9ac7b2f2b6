/** Does the model server answer, and does it have the models of the config? */
import { z } from "zod";
import { modelListUrl } from "../../../runtime/model-list.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, fail, ok, outputOf } from "../check.ts";
import { curl, splitStatus } from "../commands.ts";
import { parseJson } from "../json.ts";

const listSchema = z.object({
  models: z.array(z.object({ name: z.string() })).optional(), // Ollama's /api/tags
  data: z.array(z.object({ id: z.string() })).optional(), // OpenAI's /v1/models
});

/** Ollama adds `:latest` to a name without a tag. */
const isSame = (one: string, other: string): boolean => one === other || one === `${other}:latest`;

export const modelServer = defineCheck({
  name: "model server",
  commands: ({ model }) => ({ list: `${curl} -w '\\n%{http_code}' ${quote(modelListUrl(model))}` }),
  evaluate({ list: answer }, { model }) {
    const text = outputOf(answer);
    if (text === undefined) {
      return fail(
        `does not answer at ${model.url}`,
        "Requests for a model get 503; jobs wait.",
        `Start it on the Mac${model.kind === "ollama" ? " (`ollama serve`, or the Ollama app)" : ""}, or correct model.url in the stack's config.`,
      );
    }
    const { body, status } = splitStatus(text);
    const list = parseJson(listSchema, body);
    if (status !== "200" || (!list?.models && !list?.data)) {
      return fail(
        `answers ${status} at ${model.url}, without a list of models`,
        "It is another program, or another kind of server than model.kind says.",
        `model.kind is ${model.kind}: correct it or model.url in the stack's config.`,
      );
    }
    const names = [...(list.models ?? []).map(({ name }) => name), ...(list.data ?? []).map(({ id }) => id)];
    const wanted = [...new Set([model.embeddingModel, ...(model.allowed ?? [])])];
    const missing = wanted.filter((one) => !names.some((name) => isSame(name, one)));
    if (missing.length === 0) return ok(`${names.length} models: ${names.join(", ")}`);
    const pull =
      model.kind === "ollama" ? missing.map((name) => `\`ollama pull ${name}\``).join(", ") : "load them there";
    return fail(
      `has ${names.join(", ") || "no model"}, not ${missing.join(", ")}`,
      missing.includes(model.embeddingModel)
        ? "model.embeddingModel is missing: documents cannot be embedded."
        : "model.allowed names models that are missing.",
      `On the Mac: ${pull}; or correct model in the stack's config.`,
    );
  },
});
