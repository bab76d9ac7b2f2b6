/** The log: one JSON object per line on stdout. It never contains headers, queries, bodies or tokens. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

export type Log = Logger;

/** While stdout cannot be written, lines are buffered up to this size; later lines are dropped. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/**
 * A log that writes to `to`, or to stdout. Lines to stdout are written together at the end of an event loop turn: one system
 * call for many requests, and a killed process loses only that turn's lines. A full disk or a closed pipe never stops the
 * relay.
 */
export function createLog(to: DestinationStream = stdout()): Log {
  return pino({ base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } }, to);
}

function stdout(): DestinationStream {
  const out = pino.destination({ dest: 1, sync: true, maxLength: MAX_BUFFERED_BYTES });
  // pino's own listener rethrows everything but a broken pipe: a full disk would end the process.
  out.removeAllListeners("error").on("error", () => {});
  let lines = "";
  const flush = () => {
    if (lines !== "") out.write(lines);
    lines = "";
  };
  process.on("exit", flush);
  return {
    write(line) {
      if (lines === "") setImmediate(flush);
      lines += line;
    },
  };
}
