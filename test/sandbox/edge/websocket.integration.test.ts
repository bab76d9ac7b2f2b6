/** SSH by way of the tunnel: `cloudflared access tcp` → edge (Access) → connector → sshd, with the real cloudflared at both ends. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectorEnvironment } from "../../../sandbox/edge/connector-environment.ts";
import type { Edge } from "../../../sandbox/edge/edge.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { type MacTarget, openSession } from "../../../ssh/session.ts";
import { startSshServer } from "../providers/ssh-server.ts";
import { application } from "./account.ts";
import { ask, cloudflaredBinary, Harness } from "./harness.ts";

const HOST = "ssh.example.com";
const token = { TUNNEL_SERVICE_TOKEN_ID: "ci.access", TUNNEL_SERVICE_TOKEN_SECRET: "s3cret" };
let harness: Harness;
const ends: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  harness = new Harness();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await harness.stop();
});

/** Does something listen there? The connection it takes to see that goes the whole way, and is closed. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** The caller's cloudflared, as `npm run ssh -- --through-tunnel --here` starts it. @returns its local port */
async function localEnd(edge: Edge, environment: Record<string, string>): Promise<number> {
  const port = await claimPort();
  const child = spawn(cloudflaredBinary(), ["access", "tcp", "--hostname", HOST, "--url", `127.0.0.1:${port}`], {
    env: { HOME: harness.folder, ...connectorEnvironment(edge), ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = once(child, "exit");
  ends.push(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  child.stderr.resume(); // a closed or full pipe would end or stop it
  while (!(await listens(port)) && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 25));
  return port;
}

/** An sshd behind a tunnel, and Access that lets one token in. */
async function declared() {
  const sshd = await startSshServer(tmpdir());
  ends.push(() => sshd.close());
  const tunnel = harness.account.declareTunnel(HOST, [
    { hostname: HOST, service: `ssh://127.0.0.1:${sshd.port}` },
    { service: "http_status:404" },
  ]);
  harness.account.tokens.set(token.TUNNEL_SERVICE_TOKEN_ID, {
    secret: token.TUNNEL_SERVICE_TOKEN_SECRET,
    tokenId: "id",
  });
  harness.account.applications.push(
    application({
      destinations: [HOST],
      policies: [
        {
          id: "p",
          name: "ssh",
          decision: "non_identity",
          include: [{ service_token: { token_id: "id" } }],
          require: [],
          exclude: [],
        },
      ],
    }),
  );
  const edge = await harness.edge();
  harness.cloudflared(edge, harness.account.connectorToken(tunnel));
  await edge.routed(tunnel);
  const target = (port: number): MacTarget => ({ host: "127.0.0.1", port, user: "deploy", hostKey: sshd.hostKey });
  return { edge, target, privateKey: Buffer.from(sshd.privateKey) };
}

test("a session with the token carries large transfers both ways", async () => {
  const { edge, target, privateKey } = await declared();
  const session = await openSession(target(await localEnd(edge, token)), { privateKey });
  expect((await session.run("echo here")).stdout).toBe("here\n");
  const much = "안녕하세요\n".repeat(50_000);
  expect((await session.run("cat", { stdin: much })).stdout).toBe(much);
  await session.close();
});

test("without it sshd is unreachable, also by another kind of upgrade", async () => {
  const { edge, target, privateKey } = await declared();
  const port = await localEnd(edge, { ...token, TUNNEL_SERVICE_TOKEN_SECRET: "wrong" });
  await expect(openSession(target(port), { privateKey })).rejects.toThrow(/is not reachable/);
  expect((await ask(edge, "/", { host: HOST })).status).toBe(403);
  const headers = {
    connection: "upgrade",
    upgrade: "h2c",
    "cf-access-client-id": "ci.access",
    "cf-access-client-secret": "wrong",
  };
  expect((await ask(edge, "/", { host: HOST, headers })).status).toBe(403);
});
