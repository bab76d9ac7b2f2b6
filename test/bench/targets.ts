/** What is measured: the stand-in directly, and each proxy before it, each a process of its own. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { RELAY_NODE_FLAGS } from "../../runtime/installer/plists.ts";
import { claimPort } from "../../sandbox/machine/ports.ts";
import type { Access } from "./access.ts";

/** Something that takes requests. */
export interface Target {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

const here = import.meta.dirname;

/** Forks a script of this folder that tells its port. */
export async function startNode(name: string, script: string, ...args: string[]): Promise<Target> {
  const child = fork(join(here, script), args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  return target(name, child, port);
}

/**
 * The relay as it runs on the Mac: its own process, its files, the log in a file. With many slots it is the proxy that is
 * measured.
 * @param chat slots for chat; bounds: the relay finds their number itself
 */
export async function startRelay(
  folder: string,
  program: string,
  modelUrl: string,
  access: Access,
  chat: number | { readonly min: number; readonly max: number } = 256,
  waitSeconds = 60,
): Promise<Target> {
  const data = join(folder, `data-${typeof chat === "number" ? chat : "auto"}`);
  await mkdir(data, { recursive: true });
  const keysUrl = `https://${access.teamDomain}/cdn-cgi/access/certs`;
  await writeFile(join(data, "jwks.json"), JSON.stringify({ url: keysUrl, uat: Date.now(), jwks: access.jwks }));
  const [port, adminPort] = [await claimPort(), await claimPort()];
  const files = [join(data, "relay.json"), join(data, "secrets.json")] as const;
  const config = {
    port,
    adminPort,
    hostname: "slm.example.com",
    access: { teamDomain: access.teamDomain, audiences: { servers: access.audience, people: "people" } },
    callers: [
      { name: "backend", clientId: access.clientId, companies: ["*"], weight: 1, enabled: true },
      { name: "loud", clientId: access.loud.clientId, companies: ["*"], weight: 1, enabled: true },
    ],
    model: { kind: "openai", url: modelUrl, embeddingModel: "e" },
    limits: {
      ...(typeof chat === "number" ? { chat } : { chat: chat.max, chatAuto: chat }),
      embeddings: 2,
      waiting: 1000,
      waitSeconds,
      bodyMiB: 64,
      whenBusy: "queue",
    },
    documents: { store: "embedded", ttlDays: 30 },
    dataDir: data,
    graceSeconds: 0,
  };
  await writeFile(files[0], JSON.stringify(config));
  await writeFile(files[1], "{}");
  const log = openSync(join(data, "relay.log"), "w");
  const child = spawn(process.execPath, [...RELAY_NODE_FLAGS, program, "--config", files[0], "--secrets", files[1]], {
    stdio: ["ignore", log, "inherit"],
  });
  await listening(port);
  return target("relay", child, port);
}

/** nginx with one worker; undefined when it is not installed (Debian: `apt-get install nginx-light`). */
export async function startNginx(folder: string, modelUrl: string): Promise<Target | undefined> {
  const program = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/opt/homebrew/bin"]
    .map((path) => join(path, "nginx"))
    .find(existsSync);
  if (program === undefined) return undefined;
  const port = await claimPort();
  const file = join(folder, "nginx.conf");
  const conf = `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log ${folder}/access.log; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  upstream model { server ${new URL(modelUrl).host}; keepalive 256; }
  server {
    listen 127.0.0.1:${port}; keepalive_requests 1000000;
    location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`;
  await writeFile(file, conf);
  const child = spawn(program, ["-c", file, "-e", join(folder, "error.log")], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  await listening(port);
  return target("nginx", child, port);
}

function target(name: string, child: ChildProcess, port: number): Target {
  const ended = once(child, "exit");
  return {
    name,
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Waits until a port takes connections. @throws after 10 s */
async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries += 1) {
    const socket = connect(port, "127.0.0.1");
    try {
      await once(socket, "connect");
      return;
    } catch {
      await wait(50);
    } finally {
      socket.destroy();
    }
  }
  throw new Error(`nothing listens on port ${port} after 10 s`);
}
