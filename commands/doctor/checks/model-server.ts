/** Does the model server answer, and does it have the models of the config? */
import {
  type ListedModel,
  type ModelServer,
  modelListUrl,
  modelServer as serverOf,
} from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, fail, ok, outputOf, warn } from "../check.ts";
import { curl, node, root, splitStatus } from "../commands.ts";

/** Requests the model list with the installed key, which never leaves the Mac; prints what `curl -w` prints. */
const keyedList = `
const { modelKey } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
fetch(process.argv[2], { headers: modelKey ? { authorization: "Bearer " + modelKey } : {}, signal: AbortSignal.timeout(10000) })
  .then(async (answer) => console.log(await answer.text() + "\\n" + answer.status))
  .catch((error) => { console.error(error.cause?.message || error.message); process.exit(7); });`;

/** @returns a model list; undefined for anything else */
function listedModels(server: ModelServer, text: string): ListedModel[] | undefined {
  try {
    return server.readModels(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export const modelServer = defineCheck({
  name: "model server",
  commands({ model, modelKey }) {
    const url = quote(modelListUrl(model));
    if (modelKey === undefined) return { list: `${curl} -w '\\n%{http_code}' ${url}` };
    return { list: `sudo -n ${node} -e ${quote(keyedList)} ${root}/etc/slm-network/secrets.json ${url}` };
  },
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
    const models = listedModels(server, body);
    if (status === "401") {
      return fail(
        `answers 401 at ${model.url}: it requires a key, or rejects the one it gets`,
        "Calls get 502 model_server_denied; jobs wait.",
        "`pulumi config set --secret modelKey` with the key that the server was started with, then `pulumi up`.",
      );
    }
    if (status !== "200" || models === undefined) {
      return fail(
        `answers ${status} at ${model.url}, without a list of models`,
        "It is another program, or another kind of server than model.kind says.",
        `model.kind is ${model.kind}: correct it or model.url in the stack's config.`,
      );
    }
    const names = models.map(({ name }) => name);
    const wanted = [...new Set([model.embeddingModel, ...(model.allowed ?? [])])];
    const missing = wanted.filter((one) => !names.some((name) => name === one || name === server.fullName(one)));
    const remote = models.filter(({ isRemote }) => isRemote).map(({ name }) => name);
    if (missing.length === 0 && remote.length > 0) {
      return warn(
        `has models of Ollama's cloud: ${remote.join(", ")}`,
        "Requests to them leave the Mac. The relay refuses them unless model.allowed names them.",
        `On the Mac: ${remote.map((name) => `\`ollama rm ${name}\``).join(", ")}, and start Ollama with OLLAMA_NO_CLOUD=1 (model.service does).`,
      );
    }
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
