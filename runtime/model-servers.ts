/**
 * The kinds of model server, one entry each: how a server of that kind is recognized, what it can do, and how it is asked. The
 * relay, the installer, the commands and the sandbox read it here, so that a new kind of a known API (`ModelServerApi`) is one
 * new entry. A new API also has its dialects (`Dialect.servedBy`) and its wire format in `commands/capacity/wire.ts`, which the
 * type checker names, as it does the words of a new kind in `commands/preflight/messages/ko.ts`. Pure.
 *
 * There is no health path: LM Studio and mlx-lm have none, and Ollama's `/` answers before it can serve. The model list is
 * asked for instead. Cancelling is the same for all: close the connection. (Ollama notices at the first token,
 * https://github.com/ollama/ollama/issues/11889.)
 */
import { z } from "zod";
import { withoutSlash } from "./base-url.ts";

/** A model that the server lists. */
export interface ListedModel {
  readonly name: string;
  /** Changes when the model behind the name does. Undefined where the server does not say. */
  readonly digest: string | undefined;
  /** It runs on another machine, such as Ollama's cloud. */
  readonly isRemote: boolean;
}

/** Vectors as the server answers them, in the order of the inputs, and the tokens as it counts them. */
export interface EmbeddingRows {
  readonly rows: readonly (readonly number[])[];
  readonly tokens: number | undefined;
}

/** An API that model servers have. Several kinds may have the same one. */
export type ModelServerApi = "ollama" | "openai";

/** One request to a model server: GET, or POST with `body` as JSON. @returns the parsed answer; undefined when there is none */
export type AskServer = (path: string, body?: unknown) => Promise<unknown>;

export interface ModelServer {
  /** What people call it. */
  readonly title: string;
  /** The API that callers and commands use with it. */
  readonly api: ModelServerApi;
  /** GET the path to find out whether a server is of this kind. The first kind of the table that recognizes it is taken. */
  readonly recognize: {
    readonly path: string;
    /** @returns what the server is, as people call it (`Ollama 0.30.1`); undefined when the answer is not of this kind */
    shown(answer: unknown): string | undefined;
  };
  /** Asks whether a model embeds. @returns undefined where the server does not say */
  embeds(ask: AskServer, model: string): Promise<boolean | undefined>;
  /** As errors to callers name it. */
  readonly nameForCallers: string;
  /** Where it listens unless it is told otherwise. */
  readonly usualUrls: readonly string[];
  /** GET it for the list of models; comes after a path in `model.url`. */
  readonly listPath: string;
  /** Reads the list. @throws ZodError for anything else */
  readModels(list: unknown): ListedModel[];
  /** Whether `ListedModel.digest` is there. */
  readonly hasDigests: boolean;
  /** The full name of a model that may be called by a shorter one. */
  fullName(model: string): string;
  readonly embeddings: {
    readonly path: string;
    /** Members of the request beside `model`, `input` and `dimensions`. */
    readonly options: Readonly<Record<string, string | boolean>>;
    /** Reads the answer; undefined if it holds no vectors. */
    read(answer: unknown): EmbeddingRows | undefined;
  };
  /** Environment variable that bounds the requests it works on at once, and the bound without it. */
  readonly parallel: { readonly variable: string; readonly unset: number } | undefined;
  /** Path where a server of this kind may report how many requests it works on at once (`total_slots`). */
  readonly slotsPath: string | undefined;
  /** Path that a server with a key refuses without it, even where it lists its models; undefined: servers of this kind have no keys. */
  readonly keyedPath: string | undefined;
  /** Whether its list can contain models that run off the Mac (`isCloudModel`, `remote_host`). */
  readonly hasCloudModels: boolean;
  /** Environment of the server that turns such models off. */
  readonly withoutCloudEnv: Readonly<Record<string, string>>;
  /** How its answer with status 200 begins for a path that it does not have; undefined: it answers such a path with 404. */
  readonly unknownPathMessage: string | undefined;
  /** How a person starts it. */
  readonly startHint: string;
  /** How a person gets a model onto it. */
  loadHint(model: string): string;
}

const ollamaList = z.object({
  models: z.array(z.object({ name: z.string(), digest: z.string().optional(), remote_host: z.string().optional() })),
});
const ollamaEmbeddings = z.object({
  embeddings: z.array(z.array(z.number())),
  prompt_eval_count: z.int().optional(),
});
const ollamaVersion = z.object({ version: z.string() });
const ollamaShow = z.object({ capabilities: z.array(z.string()) });
const openaiList = z.object({ data: z.array(z.object({ id: z.string() })) });
const openaiEmbeddings = z.object({
  data: z.array(z.object({ index: z.int(), embedding: z.array(z.number()) })),
  usage: z.object({ prompt_tokens: z.int() }).optional(),
});

const OPENAI_TITLE = "a server that speaks OpenAI's paths (LM Studio, llama.cpp, mlx-lm)";

/** In the order in which they are recognized: a more specific kind stands before `openai`, whose list many servers have. */
export const MODEL_SERVERS = {
  ollama: {
    title: "Ollama",
    api: "ollama",
    recognize: {
      path: "/api/version",
      shown: (answer) => {
        const { data } = ollamaVersion.safeParse(answer);
        return data && `Ollama ${data.version}`;
      },
    },
    embeds: async (ask, model) =>
      ollamaShow.safeParse(await ask("/api/show", { model })).data?.capabilities.includes("embedding"),
    nameForCallers: "Ollama",
    usualUrls: ["http://127.0.0.1:11434"],
    listPath: "/api/tags",
    readModels: (list) =>
      ollamaList.parse(list).models.map(({ name, digest, remote_host }) => ({
        name,
        digest,
        isRemote: Boolean(remote_host) || isCloudModel(name),
      })),
    hasDigests: true,
    // A colon before the last slash belongs to a host's port.
    fullName: (model) => (model.slice(model.lastIndexOf("/") + 1).includes(":") ? model : `${model}:latest`),
    embeddings: {
      path: "/api/embed",
      options: { truncate: false }, // else a text that is too long is cut silently
      read: (answer) => {
        const { data } = ollamaEmbeddings.safeParse(answer);
        return data && { rows: data.embeddings, tokens: data.prompt_eval_count };
      },
    },
    // https://docs.ollama.com/faq#how-does-ollama-handle-concurrent-requests
    parallel: { variable: "OLLAMA_NUM_PARALLEL", unset: 1 },
    slotsPath: undefined,
    keyedPath: undefined,
    hasCloudModels: true,
    withoutCloudEnv: { OLLAMA_NO_CLOUD: "1" },
    unknownPathMessage: undefined,
    startHint: "`ollama serve`, or the Ollama app",
    loadHint: (model) => `\`ollama pull ${model}\``,
  },
  /** LM Studio, llama-server, mlx-lm and whatever else serves OpenAI's API. */
  openai: {
    title: OPENAI_TITLE,
    api: "openai",
    recognize: {
      path: "/v1/models",
      shown: (answer) => (openaiList.safeParse(answer).success ? OPENAI_TITLE : undefined),
    },
    embeds: () => Promise.resolve(undefined),
    nameForCallers: "the model server",
    usualUrls: ["http://127.0.0.1:1234", "http://127.0.0.1:8080"], // LM Studio; llama-server, mlx-lm
    listPath: "/v1/models",
    readModels: (list) =>
      openaiList.parse(list).data.map(({ id }) => ({ name: id, digest: undefined, isRemote: false })),
    hasDigests: false,
    fullName: (model) => model,
    embeddings: {
      path: "/v1/embeddings",
      options: { encoding_format: "float" },
      read: (answer) => {
        const { data } = openaiEmbeddings.safeParse(answer);
        if (data === undefined) return undefined;
        const sorted = [...data.data].sort((a, b) => a.index - b.index);
        return { rows: sorted.map(({ embedding }) => embedding), tokens: data.usage?.prompt_tokens };
      },
    },
    parallel: undefined,
    slotsPath: "/props", // llama-server
    keyedPath: "/v1/embeddings",
    hasCloudModels: false,
    withoutCloudEnv: {},
    unknownPathMessage: "Unexpected endpoint or method.", // LM Studio
    startHint: "LM Studio: Developer → Start",
    loadHint: (model) => `load ${model} there`,
  },
} as const satisfies Readonly<Record<string, ModelServer>>;

/** A value of `model.kind`. */
export type ModelServerKind = keyof typeof MODEL_SERVERS;

export const MODEL_SERVER_KINDS = Object.keys(MODEL_SERVERS) as ModelServerKind[];

/**
 * Whether the name is one of Ollama's cloud (`glm-4.6:cloud`, `gpt-oss:120b-cloud`): a call would be sent off the Mac.
 * Source: https://docs.ollama.com/cloud
 */
export const isCloudModel = (model: string): boolean => /[:-]cloud$/i.test(model);

/** @returns the table's entry as the interface, where any kind may come */
export const modelServer = (kind: ModelServerKind): ModelServer => MODEL_SERVERS[kind];

/** @returns the first entry of the table with that API */
export function serverOfApi(api: ModelServerApi): ModelServer {
  return MODEL_SERVER_KINDS.map(modelServer).find((server) => server.api === api)!;
}

/** Model families whose names show that they embed. */
export const looksLikeEmbedding = (name: string): boolean => /embed|bge|\be5\b|gte-|minilm/i.test(name);

/** What a server of unknown kind turned out to be. */
export interface RecognizedServer {
  readonly kind: ModelServerKind;
  /** `Ollama 0.30.1`. */
  readonly shown: string;
}

/** @returns which kind of server answers `ask`; undefined when it is none of them */
export async function recognizeServer(ask: AskServer): Promise<RecognizedServer | undefined> {
  for (const kind of MODEL_SERVER_KINDS) {
    const { path, shown } = modelServer(kind).recognize;
    const found = shown(await ask(path));
    if (found !== undefined) return { kind, shown: found };
  }
  return undefined;
}

/** The path in a server's address, without a slash at its end; the server's own paths come after it. */
export function basePath(url: string | URL): string {
  return withoutSlash(new URL(url).pathname);
}

/** @returns the address of the model list; a path in `url` (a model server behind a prefix) stays in front */
export function modelListUrl({ kind, url }: { readonly kind: ModelServerKind; readonly url: string }): string {
  return withoutSlash(url) + modelServer(kind).listPath;
}
