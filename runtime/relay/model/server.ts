/**
 * What differs between model servers and matters to the relay: how they list their models. Health is that list: LM Studio
 * and mlx-lm have no path of their own for it, and Ollama's `/` answers before it can serve. Cancelling is the same for all:
 * close the connection. (Ollama notices at the first token, https://github.com/ollama/ollama/issues/11889.)
 */
import { z } from "zod";
import type { ModelConfig } from "../../config.ts";
import { LIST_PATHS } from "../../model-list.ts";

/** A model the server has. */
export interface ListedModel {
  readonly name: string;
  /** Changes when the model behind the name does; only Ollama tells. */
  readonly digest: string | undefined;
}

export interface ModelServer {
  /** GET it for the list of models. */
  readonly listPath: string;
  /** Reads the list. Throws when it is none. */
  models(list: unknown): ListedModel[];
}

const ollamaList = z.object({ models: z.array(z.object({ name: z.string(), digest: z.string().optional() })) });
const openaiList = z.object({ data: z.array(z.object({ id: z.string() })) });

/** The two kinds. `openai` is LM Studio, llama-server, mlx-lm and whatever else speaks it. */
export const MODEL_SERVERS: Readonly<Record<ModelConfig["kind"], ModelServer>> = {
  ollama: {
    listPath: LIST_PATHS.ollama,
    models: (list) => ollamaList.parse(list).models.map(({ name, digest }) => ({ name, digest })),
  },
  openai: {
    listPath: LIST_PATHS.openai,
    models: (list) => openaiList.parse(list).data.map(({ id }) => ({ name: id, digest: undefined })),
  },
};
