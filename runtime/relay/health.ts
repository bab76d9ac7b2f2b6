/** `/healthz` and `/readyz`, on every listener. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { RelayError } from "./errors.ts";
import { sendError, sendText } from "./http/listener.ts";
import { splitTarget } from "./http/router.ts";
import type { Status } from "./status/status.ts";

/**
 * Answers `/healthz` and `/readyz`, which need no token and say nothing else; false if the path is another. They are
 * neither counted nor logged: they are asked for every few seconds.
 */
export function sendHealth(req: IncomingMessage, res: ServerResponse, status: Status): boolean {
  const { path } = splitTarget(req.url ?? "");
  if (path !== "/healthz" && path !== "/readyz") return false;
  res.on("error", () => {}); // the client has disconnected
  if (req.method !== "GET" && req.method !== "HEAD") {
    const Allow = "GET, HEAD";
    const error = new RelayError("method_not_allowed", `${path} takes ${Allow}, not ${req.method}.`, {
      headers: { Allow },
    });
    sendError(res, error, true);
  } else if (path === "/healthz") sendText(res, 200, "text/plain", "ok\n");
  else if (status.draining || !status.jobsAvailable()) sendText(res, 503, "text/plain", "not ready\n");
  else sendText(res, 200, "text/plain", "ready\n");
  return true;
}
