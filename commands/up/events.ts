/** The engine's event log: what it did and said, a line of JSON each, however it shows it on the terminal. */
import { z } from "zod";
import { kindOf, type ResourceKind } from "../../config/resource-types.ts";

const eventSchema = z.object({
  diagnosticEvent: z
    .object({
      message: z.string(),
      severity: z.string(),
      urn: z.string().optional(),
      ephemeral: z.boolean().optional(),
    })
    .optional(),
  resourcePreEvent: z
    .object({
      metadata: z.object({ op: z.string(), urn: z.string(), type: z.string() }),
      planning: z.boolean().optional(),
    })
    .optional(),
  resOutputsEvent: z
    .object({
      metadata: z.object({ op: z.string(), urn: z.string(), type: z.string() }),
      planning: z.boolean().optional(),
    })
    .optional(),
  resOpFailedEvent: z.object({ metadata: z.object({ op: z.string(), urn: z.string(), type: z.string() }) }).optional(),
});

/** One event, as far as it matters here. */
export type EngineEvent = z.infer<typeof eventSchema>;

/** @param text whole lines of the log; what is no event is left out (the last line of a killed engine) */
export function readEvents(text: string): EngineEvent[] {
  return text.split("\n").flatMap((line) => {
    if (line.trim() === "") return [];
    try {
      return [eventSchema.parse(JSON.parse(line))];
    } catch {
      return [];
    }
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the engine colours its messages
const colours = /\u001b\[[0-9;]*m|<\{%[^%]*%\}>/g;

/** What the engine called an error, as plain text. */
export function errorsOf(events: readonly EngineEvent[]): string[] {
  return events.flatMap(({ diagnosticEvent: event }) =>
    event?.severity === "error" && !event.ephemeral ? [event.message.replace(colours, "").trim()] : [],
  );
}

/** Whether anything was made or changed, beside the stack's own entry and components, which are no more than names. */
export function madeAnything(events: readonly EngineEvent[]): boolean {
  return events.some(({ resOutputsEvent: event }) => {
    if (!event || event.planning) return false;
    const { op, type } = event.metadata;
    return op !== "same" && op !== "read" && !/^(pulumi:pulumi|slm-network):/.test(type);
  });
}

/** What takes long, by the resource's type, and why. */
export const slow: Readonly<Partial<Record<ResourceKind, string>>> = {
  cluster: "Atlas makes the cluster: some minutes",
  accessListEntry: "Atlas passes the access list on to the cluster's servers: up to a minute or two",
  databaseUser: "Atlas passes the user on to the cluster's servers: some seconds",
  collection: "the collection is made as soon as Atlas lets the new user in from here: up to three minutes",
  customHostname:
    "Cloudflare takes the custom hostname on; its certificate comes once the records stand in the other domain's DNS",
  upload: "the release goes over SSH to the Mac: by the line's speed",
  mac: "the installer runs on the Mac: the first time it downloads Node and cloudflared (about 100 MB) and waits until the relay answers",
};

/** Says once for each type what is being waited for. @returns lines for a person */
export class Patience {
  readonly #told = new Set<string>();

  notes(events: readonly EngineEvent[]): string[] {
    return events.flatMap(({ resourcePreEvent: event }) => {
      if (
        !event ||
        event.planning ||
        !["create", "update", "replace", "create-replacement"].includes(event.metadata.op)
      ) {
        return [];
      }
      const { type } = event.metadata;
      const kind = kindOf(type);
      const why = kind && slow[kind];
      if (why === undefined || this.#told.has(type)) return [];
      this.#told.add(type);
      return [`… ${event.metadata.urn.split("::").at(-1)}: ${why}`];
    });
  }
}
