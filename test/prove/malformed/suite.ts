/** The relay as a process of its own, and malformed requests at its socket: 100,000 in `npm run prove`, fewer in `npm test`. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { RELAY_NODE_FLAGS } from "../../../runtime/installer/plists.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { atExit } from "../ending.ts";
import { HEAP_MODULE, heldMiB } from "../measure/held.ts";
import { MemoryWatch } from "../measure/process.ts";
import { type MemorySamples, memoryFaults } from "./memory.ts";
import { type Outcome, sendMalformed } from "./send.ts";

const TEAM = "prove.cloudflareaccess.com";
const CLIENT_ID = "0123456789abcdef0123456789abcdef.access";
const MAIN = join(import.meta.dirname, "../../../runtime/relay/main.ts");
const MODEL = join(import.meta.dirname, "../measure/model.ts");
/** Memory is measured so often, evenly over the requests. */
const SAMPLES = 10;
/** `limits.memoryMiB` of this relay. */
const MEMORY_MIB = 256;

export interface MalformedVerdict extends Outcome {
  readonly seed: number;
  readonly memory: MemorySamples;
}

/** Starts relay and model server, sends the requests, and stops both. @param note told of the progress */
export async function malformedHolds(
  count: number,
  seed: number,
  note: (text: string) => void = () => {},
): Promise<MalformedVerdict> {
  const folder = await mkdtemp(join(tmpdir(), "slm-malformed-"));
  const removed = atExit(() => rmSync(folder, { recursive: true, force: true }));
  const children: ChildProcess[] = [];
  try {
    const model = fork(MODEL, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    children.push(model);
    const [{ port: modelPort }] = (await once(model, "message")) as [{ port: number }];
    const heapFile = join(folder, "heap");
    const { port, relay, token, output } = await startRelay(folder, modelPort, heapFile);
    children.push(relay);
    const outcomes: Outcome[] = [];
    const memory = { restMiB: residentMiB(relay.pid ?? 0), heldMiB: [] as number[], residentMiB: [] as number[] };
    for (let sent = 0; sent < count; ) {
      const part = Math.min(Math.ceil(count / SAMPLES), count - sent);
      const outcome = await sendMalformed(part, seed + sent, { port, token });
      outcomes.push(outcome);
      sent += part;
      if (outcome.failures.length > 0 || relay.exitCode !== null) break;
      const held = await heldMiB(heapFile);
      if (held !== undefined) memory.heldMiB.push(held);
      memory.residentMiB.push(residentMiB(relay.pid ?? 0)); // after the collection: how much garbage there is goes with the machine
    }
    const failures = outcomes.flatMap((one) => one.failures);
    if (relay.exitCode !== null || relay.signalCode !== null) {
      failures.push(`the relay ended with ${relay.signalCode ?? relay.exitCode}: ${output().slice(-2000)}`);
    } else failures.push(...(await stillServes(port, token)), ...errorsIn(output()));
    // A run that ended early has too few samples.
    if (failures.length === 0) failures.push(...memoryFaults(memory, MEMORY_MIB));
    const statuses = sumOf(...outcomes.map((one) => one.statuses));
    const sent = outcomes.reduce((sum, one) => sum + one.sent, 0);
    const worstMs = Math.max(...outcomes.map((one) => one.worstMs));
    note(`${sent} malformed requests: ${JSON.stringify(statuses)}`);
    return { seed, sent, statuses, failures, worstMs, memory };
  } finally {
    await Promise.all(children.map(ended));
    await rm(folder, { recursive: true, force: true });
    removed();
  }
}

async function startRelay(folder: string, modelPort: number, heapFile: string) {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const now = Math.floor(Date.now() / 1000);
  const token = await new SignJWT({ aud: ["servers"], common_name: CLIENT_ID, iat: now, exp: now + 24 * 3600 })
    .setIssuer(`https://${TEAM}`)
    .setProtectedHeader({ alg: "RS256", kid: "k1" })
    .sign(privateKey);
  // Keys that were fetched before: nothing is fetched here.
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256", use: "sig" }] };
  const cached = { url: `https://${TEAM}/cdn-cgi/access/certs`, uat: Date.now() - 1000, jwks };
  await writeFile(join(folder, "jwks.json"), JSON.stringify(cached));
  const [port, adminPort] = [await claimPort(), await claimPort()];
  const files = [join(folder, "relay.json"), join(folder, "secrets.json")] as const;
  await writeFile(files[0], JSON.stringify(configOf(folder, port, adminPort, modelPort)));
  await writeFile(files[1], "{}");
  const env = {
    PATH: process.env.PATH,
    NODE_USE_ENV_PROXY: "1",
    HTTPS_PROXY: "http://127.0.0.1:9",
    PROVE_HEAP: heapFile,
  };
  const args = [...RELAY_NODE_FLAGS, "--import", HEAP_MODULE, MAIN, "--config", files[0], "--secrets", files[1]];
  const relay = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  for (const stream of [relay.stdout, relay.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      // Requests are logged by the hundred thousand: only what is worse than a refusal is kept.
      const lines = text.split("\n").filter((line) => !line.includes('"level":"info"') || /"status":5\d\d/.test(line));
      output = (output + lines.join("\n")).slice(-200_000);
    });
  }
  for (let tries = 0; tries < 600 && relay.exitCode === null; tries += 1) {
    if (await answersHealth(port)) return { relay, port, token, output: () => output };
    await wait(50);
  }
  throw new Error(`the relay does not listen: ${output}`);
}

function configOf(dataDir: string, port: number, adminPort: number, modelPort: number): object {
  return {
    port,
    adminPort,
    hostname: "slm.example.com",
    access: { teamDomain: TEAM, audiences: { servers: "servers", people: "people" } },
    callers: [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }],
    model: { kind: "ollama", url: `http://127.0.0.1:${modelPort}`, embeddingModel: "e" },
    limits: {
      chat: 4,
      embeddings: 2,
      waiting: 256,
      waitSeconds: 20,
      bodyMiB: 8,
      memoryMiB: MEMORY_MIB,
      whenBusy: "queue",
    },
    documents: { store: "embedded", ttlDays: 30, maxDiskMiB: 256 },
    jobs: { maxDiskMiB: 1024, minFreeMiB: 0 },
    dataDir,
    graceSeconds: 0,
  };
}

const answersHealth = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  );

/** A valid request afterwards is answered. */
async function stillServes(port: number, token: string): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "Cf-Access-Jwt-Assertion": token, "Content-Type": "application/json" },
    body: JSON.stringify({ model: "m", messages: [], prove: { ms: 1, answer: "안녕" } }),
  }).catch((cause: unknown) => String(cause));
  if (typeof response === "string") return [`a valid request afterwards: ${response}`];
  const text = await response.text();
  return response.status === 200 && text.includes("안녕")
    ? []
    : [`a valid request afterwards: ${response.status} ${text}`];
}

/** Lines of the log at the levels error and fatal, and those of answers with 5xx, which have the reason. */
const errorsIn = (output: string): string[] =>
  output
    .split("\n")
    .filter((line) => /"level":"(error|fatal)"|"status":5\d\d/.test(line))
    .slice(0, 5)
    .map((line) => `in the log: ${line.slice(0, 1000)}`);

function residentMiB(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Math.round(Number(kib ?? 0) / 1024);
  } catch {
    const watch = new MemoryWatch(pid); // no /proc
    watch.reset();
    watch.stop();
    return Math.round(watch.peakMiB());
  }
}

function sumOf(...all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const one of all) for (const [key, value] of Object.entries(one)) sum[key] = (sum[key] ?? 0) + value;
  return sum;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}
