/**
 * `lsof` for a listening port: prints the process of this machine that listens, because the Mac's processes are this
 * machine's.
 */
import { listeners } from "../../machine/port-holder.ts";
import { type Command, fail, ok } from "./command.ts";

/** lsof -nP -iTCP:port -sTCP:LISTEN -t */
export const lsof: Command = (call) => {
  const port = call.argv.map((arg) => /^-iTCP:(\d+)$/.exec(arg)?.[1]).find((found) => found !== undefined);
  const isKnown = call.argv.every((arg) => /^(-nP|-iTCP:\d+|-sTCP:LISTEN|-t)$/.test(arg)) && call.argv.includes("-t");
  if (port === undefined || !isKnown) return fail(1, "lsof: the sandbox's lsof knows -nP -iTCP:<port> -sTCP:LISTEN -t");
  const pids = listeners(Number(port));
  return pids.length > 0 ? ok(...pids.map(String)) : fail(1);
};
