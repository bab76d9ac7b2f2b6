/** What the snippets for a server are filled in with: from the stack file and the stack's outputs. Pure. */
import type { z } from "zod";
import type { accessSchema } from "../../config/access.ts";
import { UsageError } from "../errors.ts";
import type { MacSettings } from "../mac-settings.ts";
import type { Values } from "./snippets.ts";

/** What was asked for on the command line. */
export interface Asked {
  readonly server: string;
  /** `direct` or `public`; undefined: direct where the server has a direct line. */
  readonly road: string | undefined;
  readonly model: string | undefined;
  readonly showSecret: boolean;
}

export interface Known {
  readonly settings: Pick<MacSettings, "hostname" | "model" | "route">;
  readonly singleHeader: z.infer<typeof accessSchema>["singleHeader"];
  /** Of the stack's outputs. */
  readonly tokens: Readonly<Record<string, { readonly clientId: string; readonly clientSecret: string }>>;
  /** The name callers use; else the hostname. */
  readonly callers: string | undefined;
  /** Where a sandbox serves it. */
  readonly servedAt: string | undefined;
}

/** @throws UsageError */
export function valuesFor(asked: Asked, { settings, singleHeader, tokens, callers, servedAt }: Known): Values {
  const { hostname, model, route } = settings;
  const token = tokens[asked.server];
  if (token === undefined) {
    const names = Object.keys(tokens).join(", ") || "none";
    throw new UsageError(
      `no service token of a server ${JSON.stringify(asked.server)}; the stack has ${names}. A new one goes into access.servers, then \`pulumi up\`.`,
    );
  }
  const line = route.direct?.find(({ server }) => server === asked.server);
  if (asked.road !== undefined && asked.road !== "direct" && asked.road !== "public") {
    throw new UsageError(`--road ${JSON.stringify(asked.road)} is not a road: use direct or public.`);
  }
  if (asked.road === "direct" && line === undefined) {
    throw new UsageError(`${asked.server} has no direct line: add it to route.direct, or use --road public.`);
  }
  const isDirect = line !== undefined && asked.road !== "public";
  const chat = model.allowed?.find((name) => name !== model.embeddingModel && name !== model.rerankModel);
  return {
    url: isDirect ? `http://${line.listen}` : (servedAt ?? `https://${callers ?? hostname}`),
    model: asked.model ?? chat ?? "my-model",
    embeddingModel: model.embeddingModel,
    clientId: token.clientId,
    clientSecret: asked.showSecret ? token.clientSecret : undefined,
    singleHeader,
  };
}
