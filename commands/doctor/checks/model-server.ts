/** Does the model server answer, and does it have the models of the config? */
import { type ModelServer, modelListUrl, modelServer as serverOf } from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, fail, ok, outputOf } from "../check.ts";
import { curl, node, root, splitStatus } from "../commands.ts";

/** Requests the model list with the installed key, which never leaves the Mac; prints what `curl -w` prints. */
const keyedList = `
const { modelKey } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
fetch(process.argv[2], { headers: modelKey ? { authorization: "Bearer " + modelKey } : {}, signal: AbortSignal.timeout(10000) })
  .then(async (answer) => console.log(await answer.text() + "\\n" + answer.status))
  .catch((error) => { console.error(error.cause?.message || error.message); process.exit(7); });`;

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
    const names = listedNames(server, body);
    if (status === "401") {
      return fail(
        `answers 401 at ${model.url}: it requires a key, or rejects the one it gets`,
        "Calls get 502 model_server_denied; jobs wait.",
        "`pulumi config set --secret modelKey` with the key that the server was started with, then `pulumi up`.",
      );
    }
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
