/**
 * What the relay cannot go below: the bare proxy with only the libraries' part of its work, which are the token check, the
 * body read whole and parsed, a log line and four histograms. Arguments: the origin, keys and rules of Access as JSON,
 * the log's file.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { pino, stdTimeFunctions } from "pino";
import { Histogram, Registry } from "prom-client";
import { Pool } from "undici";
import { createTokenVerifier } from "../../runtime/relay/access/token.ts";

const [origin = "", accessText = "{}", logFile = ""] = process.argv.slice(2);
const { jwks, ...rules } = JSON.parse(accessText) as { jwks: JSONWebKeySet; issuer: string; audience: string };
const check = createTokenVerifier(createLocalJWKSet(jwks));
const log = pino({ base: null, timestamp: stdTimeFunctions.isoTime }, pino.destination(logFile));
const registers = [new Registry()];
const histograms = ["a", "b", "c", "d"].map(
  (name) => new Histogram({ name, help: name, labelNames: ["route"] as const, registers }),
);
const pool = new Pool(origin, { connections: 256, headersTimeout: 0, bodyTimeout: 0 });

async function whole(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  req.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(req, "end");
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  const startedAt = performance.now();
  const serve = async () => {
    await check(String(req.headers["cf-access-jwt-assertion"]), rules);
    const body = await whole(req);
    JSON.parse(body.toString());
    const { host, connection, ...headers } = req.headers;
    const call = { method: req.method ?? "GET", path: req.url ?? "/", headers, body };
    await pool.stream(call, ({ statusCode, headers: answer }) => {
      const { connection: _hop, "transfer-encoding": _framing, ...rest } = answer;
      res.writeHead(statusCode, rest).flushHeaders();
      return res;
    });
    const ms = performance.now() - startedAt;
    for (const histogram of histograms) histogram.observe({ route: "chat" }, ms / 1000);
    const { url, method } = req;
    log.info(
      { method, url, status: 200, ray: req.headers["cf-ray"], ms: Math.round(ms), bytes: body.length },
      "request",
    );
  };
  serve().catch(() => res.destroy());
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit());
