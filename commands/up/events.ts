/** The engine's event log: one JSON line per event, independent of what the terminal shows. */
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

/** The parts of an event that are used here. */
export type EngineEvent = z.infer<typeof eventSchema>;

/** @param text whole lines of the log. Lines that are not events are skipped: the last one of a killed engine. */
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

/** @returns the engine's error messages as plain text */
export function errorsOf(events: readonly EngineEvent[]): string[] {
  return events.flatMap(({ diagnosticEvent: event }) =>
    event?.severity === "error" && !event.ephemeral ? [event.message.replace(colours, "").trim()] : [],
  );
}

/** @returns whether a resource was created or changed, apart from the stack and components, which exist only in the state */
export function madeAnything(events: readonly EngineEvent[]): boolean {
  return events.some(({ resOutputsEvent: event }) => {
    if (!event || event.planning) return false;
    const { op, type } = event.metadata;
    return op !== "same" && op !== "read" && !/^(pulumi:pulumi|slm-network):/.test(type);
  });
}

/** Why a resource takes long, by its kind. */
export const slow: Readonly<Partial<Record<ResourceKind, string>>> = {
  cluster: "Atlas creates the cluster: some minutes",
  accessListEntry: "Atlas distributes the access list to the cluster's servers: up to two minutes",
  databaseUser: "Atlas distributes the user to the cluster's servers: some seconds",
  collection: "the collection is created as soon as Atlas admits the new user from here: up to three minutes",
  customHostname:
    "Cloudflare adds the custom hostname; it issues the certificate once the other domain's DNS has the records",
  upload: "the release is uploaded to the Mac over SSH",
  mac: "the installer runs on the Mac: the first time it downloads Node and cloudflared (about 100 MB) and waits until the relay answers",
};

/** Explains once per type what the engine is waiting for. */
export class Patience {
  readonly #explained = new Set<string>();

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
      if (why === undefined || this.#explained.has(type)) return [];
      this.#explained.add(type);
      return [`… ${event.metadata.urn.split("::").at(-1)}: ${why}`];
    });
  }
}
