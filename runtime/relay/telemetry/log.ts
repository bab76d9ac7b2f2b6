/** The log: one JSON object a line on stdout. Never a header, a query, a body or a token in it. */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

export type Log = Logger;

/** While stdout can not be written, lines are kept up to so many bytes; what comes then is dropped. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/**
 * A log that writes to `to`, or to stdout: at the end of the turn of the event loop, so that a write costs many requests
 * little, and nothing but that turn's lines is lost when the process is killed. A full disk or a closed pipe never stops the
 * relay.
 */
export function createLog(to: DestinationStream = stdout()): Log {
  return pino({ base: null, timestamp: stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } }, to);
}

function stdout(): DestinationStream {
  const out = pino.destination({ dest: 1, sync: true, maxLength: MAX_BUFFERED_BYTES });
  // pino's own listener throws what is no broken pipe, and a disk that is full would end the process.
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
