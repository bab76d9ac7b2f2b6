/** The answers the edge gives by itself, in the words a client of Cloudflare knows. */
import type { ServerResponse } from "node:http";
import type { AccessApplicationView } from "../cloudflare/edge-view.ts";

/** Headers on every answer of the edge. */
export function edgeHeaders(ray: string): string[] {
  return ["Server", "cloudflare", "CF-Ray", ray];
}

function send(response: ServerResponse, status: number, headers: string[], body: string): void {
  if (response.headersSent || response.destroyed) return;
  const length = ["Content-Length", String(Buffer.byteLength(body))];
  response.writeHead(status, [...headers, ...length, "Cache-Control", "private, max-age=0, no-store"]);
  response.end(body);
}

const page = (title: string, text = ""): string =>
  `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n${text}<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n`;

/**
 * `error code: N` as plain text, which is what a client that is no browser gets.
 * 1016: no DNS record; 1033: no connector; 502: the connector or the origin failed; 524: it took too long.
 */
export function errorCode(response: ServerResponse, ray: string, status: number, code: number): void {
  send(response, status, [...edgeHeaders(ray), "Content-Type", "text/plain; charset=UTF-8"], `error code: ${code}`);
}

/** 413, for a body beyond the plan's limit. */
export function tooLarge(response: ServerResponse, ray: string): void {
  send(response, 413, [...edgeHeaders(ray), "Content-Type", "text/html"], page("413 Request Entity Too Large"));
}

/** 400, for a request that cannot be passed on. */
export function badRequest(response: ServerResponse, ray: string): void {
  send(response, 400, [...edgeHeaders(ray), "Content-Type", "text/html"], page("400 Bad Request"));
}

/** 404 under `/cdn-cgi/`, which is the edge's own and never reaches an origin. */
export function notFound(response: ServerResponse, ray: string): void {
  send(response, 404, [...edgeHeaders(ray), "Content-Type", "text/html"], page("404 Not Found"));
}

const accessHeaders = (application: AccessApplicationView, hostname: string): string[] => [
  "Cf-Access-Aud",
  application.aud,
  "Cf-Access-Domain",
  hostname,
];

/** Access's refusal. The reason stays in the log: whoever is refused need not know it. */
export function forbidden(
  response: ServerResponse,
  ray: string,
  status: 401 | 403,
  application: AccessApplicationView,
  hostname: string,
): void {
  const headers = [...edgeHeaders(ray), ...accessHeaders(application, hostname), "Content-Type", "text/html"];
  const title = status === 401 ? "Unauthorized" : "Forbidden";
  send(response, status, headers, page(title, "<p>You don't have permission to view this. Cloudflare Access</p>\r\n"));
}

/** Sends a person to the sign-in page. @param base the team's origin, or "" when the page is served here too */
export function signIn(
  response: ServerResponse,
  ray: string,
  base: string,
  application: AccessApplicationView,
  request: { hostname: string; target: string },
): void {
  const query = new URLSearchParams({ kid: application.aud, redirect_url: request.target });
  const location = `${base}/cdn-cgi/access/login/${request.hostname}?${query}`;
  const headers = [...edgeHeaders(ray), ...accessHeaders(application, request.hostname), "Location", location];
  send(response, 302, headers, "");
}

/** `/cdn-cgi/trace`: what the edge sees of the caller, one `name=value` a line. */
export function trace(
  response: ServerResponse,
  ray: string,
  facts: { hostname: string; ip: string; colo: string; country: string; userAgent: string; httpVersion: string },
): void {
  const lines = [
    "fl=sandbox",
    `h=${facts.hostname}`,
    `ip=${facts.ip}`,
    `ts=${(Date.now() / 1000).toFixed(3)}`,
    "visit_scheme=https",
    `uag=${facts.userAgent}`,
    `colo=${facts.colo}`,
    "sliver=none",
    `http=http/${facts.httpVersion}`,
    `loc=${facts.country}`,
    "tls=off",
    "sni=off",
    "warp=off",
    "gateway=off",
    "rbi=off",
    "kex=none",
  ];
  send(response, 200, [...edgeHeaders(ray), "Content-Type", "text/plain"], `${lines.join("\n")}\n`);
}
