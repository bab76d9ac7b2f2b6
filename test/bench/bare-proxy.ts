/** The yardstick of what Node can do: a proxy of a dozen lines, without any of the relay's work. Argument: the origin. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

const pool = new Pool(process.argv[2] ?? "", { connections: 256, headersTimeout: 0, bodyTimeout: 0 });
const server = createServer({ keepAliveTimeout: 120_000 }, (req, res) => {
  const { host, connection, ...headers } = req.headers;
  const call = { method: req.method ?? "GET", path: req.url ?? "/", headers, body: req };
  pool
    .stream(call, ({ statusCode, headers: answer }) => {
      const { connection: _hop, "transfer-encoding": _framing, ...rest } = answer;
      res.writeHead(statusCode, rest).flushHeaders();
      return res;
    })
    .catch(() => res.destroy());
});
server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.on("disconnect", () => process.exit());
