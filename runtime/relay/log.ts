/** The log: one JSON object a line on stdout. Never a header, a query, a body or a token in it. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

export type Log = Logger;

/** A log that writes to `to`, or to stdout, at once: nothing is lost when the process ends. */
export function createLog(to?: DestinationStream): Log {
  return pino(
    { base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } },
    to ?? pino.destination({ dest: 1, sync: true }),
  );
}
