/** The status page as people reach it: Chromium, the edge with Access, the real cloudflared, the relay. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { ProxyAgent, fetch as proxiedFetch } from "undici";
import { buildStatusPage } from "../../../../runtime/build.ts";
import type { RelayConfig } from "../../../../runtime/config.ts";
import type { Edge } from "../../../../sandbox/edge/edge.ts";
import { application } from "../../../sandbox/edge/account.ts";
import { Harness } from "../../../sandbox/edge/harness.ts";
import { startTestRelay, type TestRelay, testConfig } from "../harness.ts";

export const HOST = "slm.example.com";
export const DIRECTOR = "director@example.com";
export const READER = "reader@example.com";
/** Two servers that call. */
export const CALLERS = ["backend", "batch"] as const;

const assets = join(import.meta.dirname, "../../../..", "dist/status-page-browser");

/** What every test of the file shares: the edge and the browser. */
export class StatusNetwork {
  readonly harness = new Harness();
  edge!: Edge;
  browser!: Browser;
  #keys!: ReturnType<typeof createLocalJWKSet>;
  #audiences!: { servers: string; people: string };
  #port = 0;

  async start(executablePath: string): Promise<void> {
    const { harness } = this;
    await buildStatusPage(assets);
    const person = (email: string) => ({ email: { email } });
    const people = application({
      name: "people",
      destinations: [`${HOST}/status`],
      sessionDuration: "1h",
      policies: [policy("people", "allow", [person(DIRECTOR), person(READER)])],
    });
    const tokens = CALLERS.map((name) => ({ service_token: { token_id: name } }));
    const servers = application({
      name: "servers",
      destinations: [HOST],
      policies: [policy("servers", "non_identity", tokens)],
    });
    const { account } = harness;
    account.applications.push(servers, people);
    for (const name of CALLERS) account.tokens.set(`${name}.access`, { secret: "right", tokenId: name });
    this.edge = await harness.edge({ mailFile: join(harness.folder, "mail.txt") });
    const agent = new ProxyAgent({
      uri: this.edge.proxyUrl,
      requestTls: { ca: await readFile(this.edge.caFile, "utf8") },
    });
    const published = await proxiedFetch(`https://${account.teamDomain()}/cdn-cgi/access/certs`, { dispatcher: agent });
    this.#keys = createLocalJWKSet((await published.json()) as JSONWebKeySet);
    await agent.close();
    this.#audiences = { servers: servers.aud, people: people.aud };
    // As in a container: without its own sandbox, which root may not use.
    const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    this.browser = await chromium.launch({ executablePath, args, proxy: { server: this.edge.proxyUrl } });
  }

  async stop(): Promise<void> {
    await this.browser?.close();
    await this.harness.stop();
  }

  /** A relay behind the edge. The first one binds a port, later ones the same. */
  async relay(modelUrl: string, changes: Partial<RelayConfig> = {}): Promise<TestRelay> {
    const { account } = this.harness;
    const relay = await startTestRelay(
      modelUrl,
      {
        port: this.#port,
        access: { teamDomain: account.teamDomain(), audiences: this.#audiences, operators: [DIRECTOR] },
        callers: CALLERS.map((name) => ({
          name,
          clientId: `${name}.access`,
          companies: ["*"],
          weight: 1,
          enabled: true,
        })),
        ...changes,
      },
      { keys: this.#keys, statusAssets: pathToFileURL(`${assets}/`) },
    );
    if (this.#port === 0) {
      this.#port = relay.port;
      const service = `http://127.0.0.1:${relay.port}`;
      const access = (aud: string) => ({
        access: { required: true, teamName: account.teamDomain().split(".")[0]!, audTag: [aud] },
      });
      const tunnel = account.declareTunnel(HOST, [
        { hostname: HOST, path: "^/status(/|$)", service, originRequest: access(this.#audiences.people) },
        { hostname: HOST, service, originRequest: access(this.#audiences.servers) },
        { service: "http_status:404" },
      ]);
      this.harness.cloudflared(this.edge, account.connectorToken(tunnel));
      await this.edge.routed(tunnel);
    }
    return relay;
  }

  /** A call of a server, through the edge. */
  call(name: (typeof CALLERS)[number], body: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${this.edge.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: {
        "CF-Access-Client-Id": `${name}.access`,
        "CF-Access-Client-Secret": "right",
        "Content-Type": "application/json",
        ...headers,
      },
    });
  }

  /** A browser in which somebody has signed in, on the status page. */
  async signIn(
    email: string,
    options: Parameters<Browser["newContext"]>[0] = {},
  ): Promise<{ context: BrowserContext; page: Page; problems: string[] }> {
    const context = await this.browser.newContext({
      ignoreHTTPSErrors: true, // the edge's certificates are the sandbox's own
      timezoneId: "Asia/Seoul",
      locale: "ko-KR",
      ...options,
    });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (line) => {
      if (line.type() === "error" && !/Failed to load resource/.test(line.text())) problems.push(line.text());
    });
    await page.goto(`https://${HOST}/status`);
    await page.locator('input[name="email"]').fill(email);
    await page.locator('input[name="email"]').press("Enter");
    await page.locator('input[name="code"]').waitFor();
    const mail = readFileSync(join(this.harness.folder, "mail.txt"), "utf8");
    const code = [...mail.matchAll(/^(\d{6})$/gm)].at(-1)?.[1] ?? "";
    await page.locator('input[name="code"]').fill(code);
    await page.locator('input[name="code"]').press("Enter");
    await page.locator(".cards").waitFor();
    return { context, page, problems };
  }
}

const policy = (
  name: string,
  decision: "allow" | "non_identity",
  include: Record<string, Record<string, string>>[],
) => ({
  id: name,
  name,
  decision,
  include,
  exclude: [],
  require: [],
});

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds on the page. It runs by the debugger's own way, which the page's policy does not stop. */
export async function barriers(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: `axe.run(document).then(({ violations, passes }) => JSON.stringify({
      passes: passes.length,
      violations: violations.map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target.join(" ")).join(", ")),
    }))`,
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  if (exceptionDetails !== undefined) throw new Error(exceptionDetails.text);
  const found = JSON.parse(String(result.value)) as { passes: number; violations: string[] };
  if (found.passes < 10) throw new Error("axe has looked at nothing");
  return found.violations;
}

export const defaultLimits = testConfig("", "").limits;
