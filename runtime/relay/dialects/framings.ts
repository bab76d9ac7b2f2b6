/** Framings that several dialects have in common. Pure. */
import type { ErrorObject } from "../errors.ts";
import type { Framing } from "./dialect.ts";

/**
 * Server-sent events: a comment is the heartbeat. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
 * @param dialect how it writes an error, and ends a stream that consists of one value
 */
export function eventStream(dialect: Pick<Framing, "error" | "wrap"> & Partial<Framing>): Framing {
  return {
    mediaType: "text/event-stream",
    contentType: "text/event-stream",
    heartbeat: ": waiting\n\n",
    partEndsWith: 2,
    firstHeartbeat: "early",
    ...dialect,
  };
}

/** One JSON value a line. Never an empty line as a heartbeat: clients parse every line, but skip spaces before a value. */
export function jsonLines(dialect: Pick<Framing, "error">): Framing {
  return {
    mediaType: "application/x-ndjson",
    contentType: "application/x-ndjson",
    heartbeat: " ",
    partEndsWith: 1,
    firstHeartbeat: "late",
    wrap: (json) => `${JSON.stringify(json)}\n`,
    ...dialect,
  };
}

/** One JSON value, after which nothing may follow. */
export function oneJson(error: (error: ErrorObject) => string): Framing {
  return {
    mediaType: "application/json",
    contentType: "application/json; charset=utf-8",
    heartbeat: " ",
    partEndsWith: "never",
    firstHeartbeat: "late",
    error,
    wrap: (json) => JSON.stringify(json),
  };
}
