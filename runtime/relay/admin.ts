/** The admin listener's handler: for the Mac itself, without an Access check. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { reloadablePart } from "../config.ts";
import { RelayError } from "./errors.ts";
import type { Parts } from "./handler-parts.ts";
import { sendHealth } from "./health.ts";
import { JSON_TYPE } from "./http/json-output.ts";
import { type Handler, sendError, sendJson, sendText } from "./http/listener.ts";
import { splitTarget } from "./http/router.ts";
import { ownerLengths, ownerUsage } from "./usage/owner.ts";

/** Hosts by which a program on the Mac reaches the listener. */
const LOCAL_NAMES = ["127.0.0.1", "localhost", "[::1]"];

/**
 * Passes only requests whose `Host` is a loopback name with the listener's port. A web page opened in a browser on the Mac
 * can have its own name resolve to 127.0.0.1 (DNS rebinding) and would then be allowed to read the responses; the browser
 * still sends the page's name as `Host`.
 */
export function onlyLocal(handler: Handler): Handler {
  return (req, res, expectsContinue) => {
    const { host } = req.headers;
    if (LOCAL_NAMES.some((name) => host?.toLowerCase() === `${name}:${req.socket.localPort}`)) {
      handler(req, res, expectsContinue);
      return;
    }
    res.on("error", () => {}); // the client has disconnected
    const error = new RelayError(
      "host_not_allowed",
      `The admin listener does not answer for the host ${JSON.stringify(host?.slice(0, 200) ?? "")}: call http://127.0.0.1:${req.socket.localPort} on the Mac itself.`,
    );
    sendError(res, error, true);
  };
}

const PATHS = ["/metrics", "/details", "/config", "/usage", "/usage/lengths"];

/**
 * Everything here only reads: no request to this listener changes anything. Behind `onlyLocal`.
 *
 * GET /metrics (Prometheus), /details (the status as JSON), /config (the callers, limits and job limits in use, with which the installer
 * verifies a reload), /usage (sums of the ledger, for `npm run usage`), /usage/lengths (for
 * `npm run capacity`), /healthz, /readyz.
 */
export function adminHandler(parts: Pick<Parts, "metrics" | "status" | "log" | "config" | "usages">): Handler {
  const { metrics, status, log, config, usages } = parts;
  const serve = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { path, query } = splitTarget(req.url ?? "");
    if (!PATHS.includes(path)) {
      throw new RelayError("not_found", `Paths of the admin listener: ${PATHS.join(", ")}, /healthz, /readyz.`);
    }
    if (req.method !== "GET") {
      throw new RelayError("method_not_allowed", `${path} takes GET, not ${req.method}.`, {
        headers: { Allow: "GET" },
      });
    }
    if (path === "/metrics") sendText(res, 200, metrics.registry.contentType, await metrics.registry.metrics());
    else if (path === "/usage") sendJson(res, 200, await ownerUsage(query, config, usages.ledger));
    else if (path === "/usage/lengths") sendJson(res, 200, await ownerLengths(query, usages.ledger));
    else if (path === "/config") sendText(res, 200, JSON_TYPE, reloadablePart(config));
    else sendJson(res, 200, await status.data());
  };
  return (req, res) => {
    if (sendHealth(req, res, status)) return;
    res.on("error", () => {}); // the client has disconnected
    serve(req, res).catch((cause: unknown) => {
      if (!(cause instanceof RelayError)) log.error({ err: cause }, "failed on an admin request");
      if (res.headersSent) res.destroy();
      else sendError(res, cause instanceof RelayError ? cause : new RelayError("internal", "The relay failed."), true);
    });
  };
}
