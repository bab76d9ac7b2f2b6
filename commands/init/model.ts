/** The model server on the Mac, and which of its models embeds. */

import { MODEL_SERVER_KINDS, type ModelServerKind, modelServer } from "../../runtime/model-servers.ts";
import { openSession, SessionError } from "../../ssh/session.ts";
import { InitRefusal } from "../refusal.ts";
import type { MacChoice } from "./mac.ts";
import { dimensionsOf, type ModelServer, modelServerAt, usualUrls } from "./model-server.ts";
import type { Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** `model` of the stack's config, as far as init decides it. */
export interface ModelChoice {
  readonly kind: ModelServerKind;
  readonly url: string;
  readonly embeddingModel: string;
  /** Undefined: nothing was embedded to find out. */
  readonly dimensions?: number | undefined;
}

interface About {
  asker: Asker;
  options: Options;
  say: (line: string) => void;
  known: { url?: string | undefined; embeddingModel?: string | undefined };
}

/**
 * Signs in on the Mac and looks. When that cannot be done now (no key in the agent, the Mac not prepared, the model server
 * not started), the answers are asked for or taken from the flags: `pulumi up` will need the sign-in, this does not.
 * @throws InitRefusal when nobody can be asked and the flags do not say all of it
 */
export async function chooseModel(mac: MacChoice, about: About): Promise<ModelChoice> {
  try {
    return await find(mac, about);
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    about.say(`could not look for the model server: ${error.message}`);
    return withoutLooking(about, "The Mac could not be asked.");
  }
}

async function find(mac: MacChoice, about: About): Promise<ModelChoice> {
  const { asker, options, say, known } = about;
  const session = await openSession(mac);
  try {
    say(`signed in on the Mac as ${mac.user}`);
    await session.checkSudo().then(
      () => say("`sudo -n` works there"),
      (error: unknown) => {
        if (!(error instanceof SessionError)) throw error;
        say(`before \`pulumi up\`: ${error.message}`); // not needed until then
      },
    );
    const wanted = options.modelUrl;
    if (wanted !== undefined) refuseFault(wanted);
    const urls = wanted
      ? [wanted.replace(/\/+$/, "")]
      : [...new Set([...(known.url === undefined ? [] : [known.url]), ...usualUrls])];
    const found = (await Promise.all(urls.map((url) => modelServerAt(session, url)))).filter(
      (one) => one !== undefined,
    );
    if (found.length === 0) {
      say(`no model server answers on the Mac at ${urls.join(", ")}`);
      return await withoutLooking(about, "Start it on the Mac, or say where it listens with --model-url.");
    }
    const server = await asker.choose({
      flag: "--model-url",
      given: found.length === 1 ? undefined : options.modelUrl,
      question: "Which model server?",
      choices: found.map((one) => ({ value: one, shown: `${one.shown} at ${one.url}`, keys: [one.url] })),
      preferred: found.find((one) => one.url === known.url),
    });
    say(
      `model server: ${server.shown} at ${server.url}, with ${server.models.map(({ name }) => name).join(", ") || "no model"}`,
    );
    const embeddingModel = await chooseEmbedding(server, about);
    const dimensions = await dimensionsOf(session, server, embeddingModel);
    if (dimensions === undefined) {
      say(`${embeddingModel} did not embed a word that it was given: documents need a model that does`);
    } else say(`embedding model: ${embeddingModel}, ${dimensions} dimensions`);
    return { kind: server.kind, url: server.url, embeddingModel, dimensions };
  } finally {
    await session.close();
  }
}

function chooseEmbedding(server: ModelServer, { asker, options, say, known }: About): Promise<string> {
  const surely = server.models.filter(({ embeds }) => embeds === true);
  const likely = surely.length > 0 ? surely : server.models.filter(({ embeds }) => embeds === undefined);
  const named = (name: string) => [name, name.replace(/:latest$/, "")]; // people leave it out, as Ollama lets them
  if (likely.length > 0) {
    const preferred = likely.find(({ name }) => named(name).includes(known.embeddingModel ?? ""));
    return asker.choose({
      flag: "--embedding-model",
      given: options.embeddingModel,
      question: "Which of them is the embedding model?",
      choices: likely.map(({ name }) => ({ value: name, shown: name, keys: named(name) })),
      preferred: preferred?.name,
    });
  }
  say(`none of its models embeds; on the Mac, e.g.: ${modelServer(server.kind).loadHint("bge-m3")}`);
  return askForEmbedding({ asker, options, known });
}

const askForEmbedding = ({ asker, options, known }: Pick<About, "asker" | "options" | "known">): Promise<string> =>
  asker.text({
    flag: "--embedding-model",
    given: options.embeddingModel,
    question: "The embedding model's name on the model server (e.g. bge-m3):",
    preferred: known.embeddingModel,
    fault: (text) => faultAt(["model", "embeddingModel"], text),
  });

async function withoutLooking(about: About, why: string): Promise<ModelChoice> {
  const { asker, options, known } = about;
  const { modelKind, modelUrl, embeddingModel } = options;
  if (!asker.asks && (modelKind === undefined || modelUrl === undefined || embeddingModel === undefined)) {
    throw new InitRefusal(`${why} To go on without: --model-kind, --model-url and --embedding-model`);
  }
  const kind = await asker.choose<ModelServerKind>({
    flag: "--model-kind",
    given: modelKind,
    question: "What kind of model server is it?",
    choices: MODEL_SERVER_KINDS.map((value) => ({ value, shown: modelServer(value).title, keys: [value] })),
  });
  const url = await asker.text({
    flag: "--model-url",
    given: modelUrl,
    question: "Its address on the Mac:",
    preferred: known.url ?? modelServer(kind).usualUrls[0],
    fault: (text) => faultAt(["model", "url"], text),
  });
  return { kind, url, embeddingModel: await askForEmbedding(about) };
}

function refuseFault(url: string): void {
  const fault = faultAt(["model", "url"], url);
  if (fault) throw new InitRefusal(`--model-url: ${fault}`);
}
