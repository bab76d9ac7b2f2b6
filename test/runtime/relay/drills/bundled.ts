/** The relay as it is installed: the unpacked bundle, run by Node without the sources. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as tar from "tar";
import { onTestFinished } from "vitest";
import { buildRelease } from "../../../../runtime/build.ts";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { jobsSchema } from "../../../../runtime/limits-config.ts";
import { freePorts, type RelayProcess, runRelay } from "../child.ts";
import { jwks, TEAM, temporaryFolder, testConfig, token } from "../harness.ts";

/** A caller of the drills. */
export interface DrillCaller {
  readonly name: string;
  readonly headers: Record<string, string>;
}

export interface Installation {
  readonly url: string;
  readonly dataDir: string;
  readonly callers: readonly DrillCaller[];
  /** Starts the relay and waits until it listens. */
  start(): Promise<RelayProcess>;
}

/** Unpacks a fresh release and writes its config; three callers. Needs no internet access. */
export async function installRelay(modelUrl: string, changes: Partial<RelayConfig> = {}): Promise<Installation> {
  const folder = await temporaryFolder();
  const dataDir = join(folder, "data");
  await mkdir(dataDir);
  const release = await buildRelease(join(folder, "dist"));
  await tar.extract({ file: release.path, cwd: folder });
  const files = await readdir(folder);
  for (const thread of ["jobs-worker.mjs", "documents-worker.mjs", "heavy-worker.mjs"]) {
    if (!files.includes(thread)) throw new Error(`the release has no ${thread}: ${files.join(", ")}`);
  }
  // The cached keys of Access, so that the relay does not fetch any.
  const url = `https://${TEAM}/cdn-cgi/access/certs`;
  await writeFile(join(dataDir, "jwks.json"), JSON.stringify({ url, uat: Date.now(), jwks }));
  const names = ["alpha", "beta", "gamma"];
  const clientId = (name: string) => `${Buffer.from(name.padEnd(16, "0")).toString("hex")}.access`;
  const config: RelayConfig = {
    ...testConfig(modelUrl, dataDir),
    ...(await freePorts()),
    callers: names.map((name) => ({ name, clientId: clientId(name), companies: ["*"], weight: 1, enabled: true })),
    jobs: jobsSchema.parse({ minFreeMiB: 0 }),
    ...changes,
  };
  const callers = await Promise.all(
    names.map(async (name) => ({
      name,
      headers: { "Cf-Access-Jwt-Assertion": await token({ common_name: clientId(name) }) },
    })),
  );
  return {
    url: `http://127.0.0.1:${config.port}`,
    dataDir,
    callers,
    async start() {
      const env = { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: "http://127.0.0.1:1" };
      const relay = await runRelay(folder, config, env, join(folder, "relay.mjs"));
      await relay.line(({ msg }) => msg === "listening");
      return relay;
    },
  };
}

export interface ModelProcess {
  readonly url: string;
  /** `kill -9`. */
  kill(): Promise<void>;
}

/** Starts the model server in a process of its own. */
export async function startModelProcess(port = 0): Promise<ModelProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, "model-process.ts"), String(port)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exit = once(child, "close");
  const kill = async () => {
    child.kill("SIGKILL");
    await exit;
  };
  onTestFinished(kill);
  const [url] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return { url, kill };
}
