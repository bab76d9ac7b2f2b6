/** Does the model server answer, and does it have the models of the config? */
import {
  type ListedModel,
  type ModelServer,
  modelListUrl,
  modelServer as serverOf,
} from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { splitStatus } from "../../curl-output.ts";
import { defineCheck, fail, ok, outputOf, warn } from "../check.ts";
import { curl, node, root } from "../commands.ts";
import { messagesIn } from "../messages.ts";

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
  evaluate({ list: answer }, context) {
    const { model } = context;
    const say = messagesIn(context).modelServer;
    const server = serverOf(model.kind);
    const text = outputOf(answer);
    if (text === undefined) {
      return fail(...say.silent(model.url, server.startHint));
    }
    const { body, status } = splitStatus(text);
    const models = listedModels(server, body);
    if (status === "401") {
      return fail(...say.denied(model.url));
    }
    if (status !== "200" || models === undefined) {
      return fail(...say.noList(status, model.url, model.kind));
    }
    const names = models.map(({ name }) => name);
    const wanted = [...new Set([model.embeddingModel, ...(model.allowed ?? [])])];
    const missing = wanted.filter((one) => !names.some((name) => name === one || name === server.fullName(one)));
    const remote = models.filter(({ isRemote }) => isRemote).map(({ name }) => name);
    if (missing.length === 0 && remote.length > 0) {
      return warn(...say.remote(remote.join(", "), remote.map((name) => `\`ollama rm ${name}\``).join(", ")));
    }
    if (missing.length === 0) return ok(say.models(names.length, names.join(", ")));
    return fail(
      ...say.missing(
        names.join(", "),
        missing.join(", "),
        missing.includes(model.embeddingModel),
        missing.map((name) => server.loadHint(name)).join(", "),
      ),
    );
  },
});
