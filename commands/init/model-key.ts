/** The key of a model server that wants one: from the stack's secrets, the environment, or the person at the terminal. */
import { HEADER_TEXT } from "../../runtime/config.ts";
import type { MacSession } from "../../ssh/session.ts";
import { type ModelServer, modelServerAt } from "./model-server.ts";
import type { Asker } from "./prompts.ts";

/** Where a key comes from when nobody can be asked; never a flag, since `ps` and the shell's history show those. */
export const MODEL_KEY_VARIABLE = "SLM_NETWORK_MODEL_KEY";

/** How often a person may mistype. */
const TRIES = 3;

/** A server that was asked with its key. */
export interface Unlocked {
  readonly server: ModelServer;
  /** The key, unless the stack has it already. */
  readonly newKey: string | undefined;
}

/** Where a key can come from. */
export interface KeySources {
  readonly asker: Asker;
  readonly say: (line: string) => void;
  /** The key in the stack's secrets; undefined without one. */
  readonly storedKey: () => Promise<string | undefined>;
}

/** @returns undefined when there is no key that the server takes; says so */
export async function unlock(
  session: MacSession,
  url: string,
  { asker, say, storedKey }: KeySources,
): Promise<Unlocked | undefined> {
  say(`the model server at ${url} wants a key`);
  const withKey = async (key: string | undefined): Promise<ModelServer | undefined> => {
    if (key === undefined || !HEADER_TEXT.test(key)) return undefined;
    const server = await modelServerAt(session, url, key);
    return server === undefined || "isLocked" in server ? undefined : server;
  };
  const stored = await withKey(await storedKey());
  if (stored !== undefined) return { server: stored, newKey: undefined };
  const given = process.env[MODEL_KEY_VARIABLE]?.trim() || undefined;
  const taken = await withKey(given);
  if (taken !== undefined) return { server: taken, newKey: given };
  if (given !== undefined) say(`it refuses the key in ${MODEL_KEY_VARIABLE}`);
  for (let left = TRIES; asker.asks && left > 0; left -= 1) {
    const key = (
      await asker.secret("The model server's key (llama-server --api-key, an API token of LM Studio):")
    ).trim();
    const server = await withKey(key);
    if (server !== undefined) return { server, newKey: key };
    say(HEADER_TEXT.test(key) ? "it refuses that key" : "a key has no spaces and no characters beyond ASCII");
  }
  say(
    `without its key the server cannot be searched: set ${MODEL_KEY_VARIABLE}, or later \`pulumi config set --secret modelKey\``,
  );
  return undefined;
}
