/** A network of the tests' own whose Mac is changed, by the real engine; with a client that calls all the while. */
import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { parseDocument } from "yaml";
import { z } from "zod";
import type { Ready } from "../../sandbox/ready.ts";
import { type MacSession, openSession } from "../../ssh/session.ts";
import { project, type Ran, run, sandbox } from "./harness.ts";

export const said = (ran: Ran) => ran.stdout + ran.stderr;

/** @throws with what was said when it did not end well */
export async function fine(ran: Promise<Ran>): Promise<string> {
  const ended = await ran;
  expect(ended.code, said(ended)).toBe(0);
  return said(ended);
}

export const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** A control action of the sandbox. */
export async function tell(...args: string[]): Promise<void> {
  await fine(sandbox("--do", ...args));
}

const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(
      z.object({
        urn: z.string(),
        type: z.string(),
        id: z.string().optional(),
        outputs: z.record(z.string(), z.unknown()).default({}),
      }),
    ),
  }),
});

/** @returns the installation id that a Mac holds */
export async function installationOn(root: string): Promise<string> {
  const text = await readFile(join(root, "usr/local/slm-network/installation.json"), "utf8");
  return z.looseObject({ installation: z.string() }).parse(JSON.parse(text)).installation;
}

/** One sandbox's stack. */
export class MacNetwork {
  readonly ready: Ready;
  readonly stackFile: string;
  /** Durations and counts, for the person who runs the tests. */
  readonly report: Record<string, string> = {};

  constructor(ready: Ready) {
    this.ready = ready;
    this.stackFile = join(project, `Pulumi.${ready.pulumi.stack}.yaml`);
  }

  /** URN of what is installed on the Mac. */
  get installUrn(): string {
    return `urn:pulumi:${this.ready.pulumi.stack}::slm-network::slm-network:mac-host:MacHost$pulumi-nodejs:dynamic/mac:Installation::slm-mac-install`;
  }

  onMac(path: string): string {
    return join(this.ready.macRoot, path);
  }

  /** The engine in a version's folder. */
  async pulumiIn(cwd: string, environment: Record<string, string>, ...args: string[]): Promise<Ran> {
    const began = performance.now();
    const all = [...args, "--non-interactive", "--color=never"];
    const ran = await run(this.ready.pulumi.bin, all, { ...this.ready.environment, ...environment }, cwd);
    const what = `${Object.keys(this.report).length + 1}. pulumi ${args.slice(0, 3).join(" ")}`;
    this.report[what] = `${((performance.now() - began) / 1000).toFixed(0)} s`;
    return ran;
  }

  pulumi(...args: string[]): Promise<Ran> {
    return this.pulumiIn(project, {}, ...args);
  }

  up(...args: string[]): Promise<string> {
    return fine(this.pulumi("up", "--yes", "--skip-preview", ...args));
  }

  /** Everything is as it was declared, on the Mac too. */
  async noDrift(): Promise<void> {
    await fine(this.pulumi("preview", "--refresh", "--expect-no-changes"));
  }

  async configure(...changes: [path: (string | number)[], value: unknown][]): Promise<void> {
    const document = parseDocument(await readFile(this.stackFile, "utf8"));
    for (const [[key, ...rest], value] of changes) {
      const path = ["config", `slm-network:${key}`, ...rest];
      if (value === undefined) document.deleteIn(path);
      else document.setIn(path, value);
    }
    await writeFile(this.stackFile, document.toString());
  }

  async resources() {
    return stateSchema.parse(JSON.parse((await this.pulumi("stack", "export")).stdout)).deployment.resources;
  }

  async macState() {
    return (await this.resources()).find(({ urn }) => urn === this.installUrn);
  }

  /** A session as the administrator of the stack's Mac. */
  async session(): Promise<MacSession> {
    const hostKey = (await readFile(join(this.ready.macRoot, "../host_ed25519.pub"), "utf8")).trim();
    return openSession({ ...this.ready.ssh, hostKey }, { privateKey: await readFile(this.ready.ssh.privateKeyPath) });
  }

  /** @returns a client with the token of the server `backend`, which calls from now on */
  async client(): Promise<Client> {
    const { stdout } = await this.pulumi("stack", "output", "--json", "--show-secrets");
    const token = z.object({ clientId: z.string(), clientSecret: z.string() });
    const outputs = z.looseObject({ serviceTokens: z.looseObject({ backend: token }) }).parse(JSON.parse(stdout));
    const { clientId, clientSecret } = outputs.serviceTokens.backend;
    const headers = { "CF-Access-Client-Id": clientId, "CF-Access-Client-Secret": clientSecret };
    const url = `${this.ready.url}/v1/models`;
    return new Client(async () => {
      const response = await fetch(url, { headers, redirect: "manual" });
      await response.arrayBuffer();
      return response.status;
    }, this.report);
  }
}

/**
 * Calls every 100 ms, whether or not the last call has been answered. One that fails is tried again twice, as OpenAI's client
 * does by default; both are counted: answers that were none, and calls that failed to the end.
 */
export class Client {
  calls = 0;
  retried = 0;
  failures: string[] = [];
  readonly #ask: () => Promise<number>;
  readonly #report: Record<string, string>;
  #timer: NodeJS.Timeout | undefined;
  readonly #running = new Set<Promise<void>>();

  constructor(ask: () => Promise<number>, report: Record<string, string>) {
    this.#ask = ask;
    this.#report = report;
  }

  start(): void {
    this.#timer = setInterval(() => {
      const call = this.#call().finally(() => this.#running.delete(call));
      this.#running.add(call);
    }, 100);
  }

  async answers(): Promise<boolean> {
    return (await this.#ask().catch(() => 0)) === 200;
  }

  async #call(): Promise<void> {
    this.calls += 1;
    let status: number | string = 0;
    for (const pause of [500, 1_000, 0]) {
      status = await this.#ask().catch((error: unknown) => String(error));
      if (status === 200) return;
      this.retried += 1;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    this.failures.push(String(status));
  }

  /** Waits for what is under way and counts from here on. @returns what was counted until now */
  async during(what: string): Promise<{ calls: number; failures: string[] }> {
    await Promise.all(this.#running);
    const counted = { calls: this.calls, failures: this.failures };
    this.#report[`calls during ${what}`] =
      `${counted.calls}, ${this.retried} answers were none, ${counted.failures.length} failed after two more tries`;
    [this.calls, this.retried, this.failures] = [0, 0, []];
    return counted;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }
}
