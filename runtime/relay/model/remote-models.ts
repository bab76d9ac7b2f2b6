/**
 * Models of Ollama that run on another machine (Ollama's cloud), whatever they are called: their rows in the list of models
 * have `remote_host`. A call to one would be sent off-premises.
 */
import type { Pool } from "undici";
import type { ModelConfig } from "../../model-config.ts";
import { basePath, modelServer } from "../../model-servers.ts";
import { cloudModel } from "../http/body-rules.ts";
import { keyHeader } from "./key-refusal.ts";

const LIST_MS = 2000;
/** A list older than this is fetched again, beside the request that found it old. */
const FRESH_MS = 10_000;
/** An older one is waited for. */
const USABLE_MS = 60_000;

/** Tells the list's requests from those of callers, in the model server's log. */
export const USER_AGENT = "slm-network-relay";

/**
 * Rejects with `cloud_model_not_allowed` when one of the models is remote. A model that becomes remote is noticed within 10 s
 * of the next call. While the model server does not answer, what was known last counts.
 */
export type RefuseRemote = (models: readonly string[]) => Promise<void>;

/** @param key of the model server @returns undefined where no model can be remote, or the operator has named those allowed */
export function createRefuseRemote(
  model: Pick<ModelConfig, "kind" | "url" | "allowed">,
  pool: Pool,
  key?: string,
): RefuseRemote | undefined {
  const server = modelServer(model.kind);
  // Names in `allowed` are the operator's decision.
  if (!server.hasCloudModels || model.allowed !== undefined) return undefined;
  let remote: ReadonlySet<string> = new Set();
  let at = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  const fetchList = async () => {
    try {
      const path = basePath(model.url) + server.listPath;
      const headers = { "user-agent": USER_AGENT, ...keyHeader(key) };
      const { statusCode, body } = await pool.request({
        method: "GET",
        path,
        headers,
        signal: AbortSignal.timeout(LIST_MS),
      });
      if (statusCode !== 200) return await body.dump();
      const listed = server.readModels(await body.json());
      remote = new Set(listed.flatMap(({ name, isRemote }) => (isRemote ? [server.fullName(name)] : [])));
    } catch {
      // not reachable, or not Ollama: the call itself will say so
    } finally {
      at = performance.now();
      running = undefined;
    }
  };
  return async (models) => {
    const age = performance.now() - at;
    if (age > FRESH_MS) running ??= fetchList();
    if (age > USABLE_MS) await running;
    const bad = models.find((name) => remote.has(server.fullName(name)));
    if (bad !== undefined) throw cloudModel(bad);
  };
}
