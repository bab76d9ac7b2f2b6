/** Chooses the model server on the Mac and its embedding model. */
import { withoutSlash } from "../../runtime/base-url.ts";
import { MODEL_SERVER_KINDS, type ModelServerKind, modelServer } from "../../runtime/model-servers.ts";
import { openSession, SessionError } from "../../ssh/session.ts";
import { Refusal } from "../errors.ts";
import type { MacChoice } from "./mac.ts";
import { type KeySources, unlock } from "./model-key.ts";
import { dimensionsOf, type LockedServer, type ModelServer, modelServerAt, usualUrls } from "./model-server.ts";
import type { Options } from "./options.ts";
import { faultAt } from "./validate.ts";

/** The part of `model` in the stack's config that init decides. */
export interface ModelChoice {
  readonly kind: ModelServerKind;
  readonly url: string;
  readonly embeddingModel: string;
  /** Key of the model server, when it wants one and the stack has none or another. A secret. */
  readonly newKey?: string | undefined;
  /** Undefined when no test embedding was made. */
  readonly dimensions?: number | undefined;
}

interface About extends KeySources {
  options: Options;
  known: { url?: string | undefined; embeddingModel?: string | undefined };
}

/**
 * Signs in on the Mac and searches. When that is not possible yet (no key in the agent, the Mac not prepared, the model server
 * not running), asks or takes the options: only `pulumi up` needs the sign-in.
 * @throws Refusal when nobody can be asked and the flags do not say all of it
 */
export async function chooseModel(mac: MacChoice, about: About): Promise<ModelChoice> {
  try {
    return await find(mac, about);
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    about.say(`cannot search for the model server: ${error.message}`);
    return withoutSearch(about, "The Mac could not be searched.");
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
        say(`before \`pulumi up\`: ${error.message}`); // init itself does not need sudo
      },
    );
    const wanted = options.modelUrl;
    if (wanted !== undefined) refuseFault(wanted);
    const urls = wanted
      ? [withoutSlash(wanted)]
      : [...new Set([...(known.url === undefined ? [] : [known.url]), ...usualUrls])];
    const all = await Promise.all(urls.map((url) => modelServerAt(session, url)));
    const open = all.filter((one) => one !== undefined).filter((one): one is ModelServer => !("isLocked" in one));
    const locked = all.find((one): one is LockedServer => one !== undefined && "isLocked" in one);
    // One that needs no key is preferred, unless the other one was named.
    const unlocked = open.length === 0 && locked !== undefined ? await unlock(session, locked.url, about) : undefined;
    const found = unlocked === undefined ? open : [unlocked.server];
    if (found.length === 0) {
      say(`no model server answers on the Mac at ${urls.join(", ")}`);
      return await withoutSearch(about, "Start it on the Mac, or set its address with --model-url.");
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
      say(`${embeddingModel} could not embed a test word: documents need a model that can`);
    } else say(`embedding model: ${embeddingModel}, ${dimensions} dimensions`);
    return { kind: server.kind, url: server.url, embeddingModel, dimensions, newKey: unlocked?.newKey };
  } finally {
    await session.close();
  }
}

function chooseEmbedding(server: ModelServer, { asker, options, say, known }: About): Promise<string> {
  const certain = server.models.filter(({ embeds }) => embeds === true);
  const likely = certain.length > 0 ? certain : server.models.filter(({ embeds }) => embeds === undefined);
  const named = (name: string) => [name, name.replace(/:latest$/, "")]; // Ollama accepts names without it
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
  say(`none of its models can embed; on the Mac, e.g.: ${modelServer(server.kind).loadHint("bge-m3")}`);
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

async function withoutSearch(about: About, why: string): Promise<ModelChoice> {
  const { asker, options, known } = about;
  const { modelKind, modelUrl, embeddingModel } = options;
  if (!asker.asks && (modelKind === undefined || modelUrl === undefined || embeddingModel === undefined)) {
    throw new Refusal(`${why} To continue without it set --model-kind, --model-url and --embedding-model`);
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
  if (fault) throw new Refusal(`--model-url: ${fault}`);
}
