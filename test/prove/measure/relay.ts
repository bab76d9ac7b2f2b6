/** The relay as it is built for the Mac, a process of its own, with fresh files each time. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { documentsSchema } from "../../../runtime/documents-config.ts";
import { RELAY_NODE_FLAGS } from "../../../runtime/installer/plists.ts";
import { jobsSchema, limitsSchema } from "../../../runtime/limits-config.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { BOUNDS } from "../limits.ts";
import { type EdgeReady, HOST, TOKENS } from "./messages.ts";

/** A running relay. */
export interface RelayProcess {
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
  /** How it ended, if it has. */
  ended(): string | undefined;
  /** The last lines of its log. */
  log(): Promise<string>;
  stop(): Promise<void>;
}

/** Starts it with an empty data folder below `folder`. @throws when it does not listen within 20 s */
export async function startRelay(
  folder: string,
  program: string,
  modelUrl: string,
  edge: EdgeReady,
): Promise<RelayProcess> {
  const dataDir = await mkdtemp(join(folder, "relay-"));
  const [port, adminPort] = [await claimPort(), await claimPort()];
  const files = [join(dataDir, "relay.json"), join(dataDir, "secrets.json"), join(dataDir, "relay.log")] as const;
  await writeFile(files[0], JSON.stringify(configOf(port, adminPort, modelUrl, edge, dataDir)));
  await writeFile(files[1], "{}");
  const log = openSync(files[2], "w");
  const environment = {
    PATH: process.env.PATH,
    NODE_USE_ENV_PROXY: "1",
    NODE_EXTRA_CA_CERTS: edge.caFile,
    HTTPS_PROXY: edge.proxyUrl,
    NO_PROXY: "127.0.0.1,localhost",
  };
  const args = [...RELAY_NODE_FLAGS, program, "--config", files[0], "--secrets", files[1]];
  const child = spawn(process.execPath, args, { stdio: ["ignore", log, log], env: environment });
  closeSync(log);
  const exit = once(child, "exit");
  const text = async () => (await readFile(files[2], "utf8")).split("\n").slice(-20).join("\n");
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exit;
  };
  try {
    await listening(port, child);
  } catch (cause) {
    await stop();
    throw new Error(`${String(cause)}\n${await text()}`, { cause });
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    dataDir,
    ended: () => (child.exitCode === null && child.signalCode === null ? undefined : how(child)),
    log: text,
    stop,
  };
}

const how = ({ exitCode, signalCode }: ChildProcess): string => `the relay ended: ${signalCode ?? `code ${exitCode}`}`;

/** Fields that this release's schema does not know are left out: the suite also judges releases before them. */
function known<T extends Record<string, unknown>>(shape: Record<string, unknown>, fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => name in shape)) as Partial<T>;
}

function configOf(port: number, adminPort: number, modelUrl: string, edge: EdgeReady, dataDir: string): object {
  const { chat, embeddings, waiting, waitSeconds, bodyMiB, memoryMiB, jobsMiB, documentsMiB } = BOUNDS;
  const limits = { chat, embeddings, waiting, waitSeconds, bodyMiB, memoryMiB, whenBusy: "queue" };
  return {
    port,
    adminPort,
    hostname: HOST,
    access: { teamDomain: edge.teamDomain, audiences: { servers: edge.audience, people: "people" } },
    callers: Object.entries(TOKENS).map(([name, { clientId }]) => {
      return { name, clientId, companies: ["*"], weight: 1, enabled: true };
    }),
    model: { kind: "openai", url: modelUrl, embeddingModel: "e" },
    limits: known(limitsSchema.shape, limits),
    documents: known(documentsSchema.shape, { store: "embedded", ttlDays: 30, maxDiskMiB: documentsMiB }),
    jobs: known(jobsSchema.shape, { maxDiskMiB: jobsMiB, minFreeMiB: 0 }),
    dataDir,
    graceSeconds: 0,
  };
}

async function listening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 400 && child.exitCode === null; tries += 1) {
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
  throw new Error(child.exitCode === null ? `nothing listens on port ${port} after 20 s` : how(child));
}
