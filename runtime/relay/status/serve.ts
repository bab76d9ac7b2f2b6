/** Answers a request for the status page, or for what it shows as JSON. */
import type { ServerResponse } from "node:http";
import { sendText } from "../http/listener.ts";
import { renderStatus } from "./page.ts";
import type { Status } from "./status.ts";

export async function serveStatus(res: ServerResponse, view: "page" | "data", status: Status): Promise<void> {
  const data = await status.data();
  if (view === "data") {
    sendText(res, 200, "application/json; charset=utf-8", JSON.stringify(data));
    return;
  }
  res.setHeader("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
  res.setHeader("X-Content-Type-Options", "nosniff");
  sendText(res, 200, "text/html; charset=utf-8", renderStatus(data));
}
