/** Does the model server answer, and does it have the models of the config? */
import { type ModelServer, modelListUrl, modelServer as serverOf } from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, fail, ok, outputOf } from "../check.ts";
import { curl, splitStatus } from "../commands.ts";

/** @returns the names of a model list; undefined for anything else */
function listedNames(server: ModelServer, text: string): string[] | undefined {
  try {
    return server.readModels(JSON.parse(text)).map(({ name }) => name);
  } catch {
    return undefined;
  }
}

export const modelServer = defineCheck({
  name: "model server",
  commands: ({ model }) => ({ list: `${curl} -w '\\n%{http_code}' ${quote(modelListUrl(model))}` }),
  evaluate({ list: answer }, { model }) {
    const server = serverOf(model.kind);
    const text = outputOf(answer);
    if (text === undefined) {
      return fail(
        `does not answer at ${model.url}`,
        "Requests for a model get 503; jobs wait.",
        `Start it on the Mac (${server.startHint}), or correct model.url in the stack's config.`,
      );
    }
    const { body, status } = splitStatus(text);
    const names = listedNames(server, body);
    if (status !== "200" || names === undefined) {
      return fail(
        `answers ${status} at ${model.url}, without a list of models`,
        "It is another program, or another kind of server than model.kind says.",
        `model.kind is ${model.kind}: correct it or model.url in the stack's config.`,
      );
    }
    const wanted = [...new Set([model.embeddingModel, ...(model.allowed ?? [])])];
    const missing = wanted.filter((one) => !names.some((name) => name === one || name === server.fullName(one)));
    if (missing.length === 0) return ok(`${names.length} models: ${names.join(", ")}`);
    return fail(
      `has ${names.join(", ") || "no model"}, not ${missing.join(", ")}`,
      missing.includes(model.embeddingModel)
        ? "model.embeddingModel is missing: documents cannot be embedded."
        : "model.allowed names models that are missing.",
      `On the Mac: ${missing.map((name) => server.loadHint(name)).join(", ")}; or correct model in the stack's config.`,
    );
  },
});
