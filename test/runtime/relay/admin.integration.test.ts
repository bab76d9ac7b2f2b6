import { expect, test } from "vitest";
import { raw, startModel, startTestRelay } from "./harness.ts";

async function ask(port: number, host: string | undefined, path = "/metrics", method = "GET") {
  const version = host === undefined ? "1.0" : "1.1";
  const line = host === undefined ? "" : `Host: ${host}\r\n`;
  const answer = await raw(port, `${method} ${path} HTTP/${version}\r\n${line}Connection: close\r\n\r\n`);
  return { status: Number(answer.split(" ")[1]), code: /"code":"(\w+)"/.exec(answer)?.[1] };
}

test("the admin listener answers for the Mac's own names only, so that no web page can read it by DNS rebinding", async () => {
  const relay = await startTestRelay((await startModel()).url);
  const port = relay.adminPort;
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
    expect(await ask(port, host)).toEqual({ status: 200, code: undefined });
  }
  const others = [
    `attacker.example:${port}`,
    `127.0.0.1.attacker.example:${port}`,
    `127.0.0.1:${port + 1}`,
    "127.0.0.1",
    "localhost",
    `slm.example.com`,
    `0.0.0.0:${port}`,
    `127.0.0.1:${port}@attacker.example`,
    undefined,
  ];
  for (const host of others) {
    for (const path of ["/metrics", "/details", "/config", "/healthz", "/readyz", "/nothing"]) {
      expect(await ask(port, host, path), `${host} ${path}`).toEqual({ status: 403, code: "host_not_allowed" });
    }
  }
});

test("nothing but reading is possible there", async () => {
  const relay = await startTestRelay((await startModel()).url);
  const host = `127.0.0.1:${relay.adminPort}`;
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    for (const path of ["/metrics", "/details", "/config", "/healthz", "/readyz"]) {
      expect(await ask(relay.adminPort, host, path, method), `${method} ${path}`).toEqual({
        status: 405,
        code: "method_not_allowed",
      });
    }
    expect((await ask(relay.adminPort, host, "/quitquitquit", method)).status).toBe(404);
  }
});
