/** Messages as a receiver gets them: signed, once, in order, over failures and restarts. */
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { describe, expect, it, onTestFinished } from "vitest";
import { alertThresholdsSchema } from "../../../../runtime/alert-config.ts";
import type { RelayConfig, RelaySecrets } from "../../../../runtime/config.ts";
import { freePorts, runRelay } from "../child.ts";
import { asPerson, portOf, startModel, startTestRelay, temporaryFolder, testConfig } from "../harness.ts";

const SECRET = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;

interface Received {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver; `answer` says the status of each answer. */
async function startReceiver(
  answer: (n: number) => number | { status: number; headers: Record<string, string> } = () => 204,
) {
  const received: Received[] = [];
  const server = createServer((req, res) => {
    let body = "";
    req.setEncoding("utf8").on("data", (text: string) => (body += text));
    req.on("end", () => {
      received.push({ headers: req.headers, body });
      const given = answer(received.length);
      const { status, headers } = typeof given === "number" ? { status: given, headers: {} } : given;
      res.writeHead(status, headers).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return { received, url: `http://127.0.0.1:${portOf(server)}/hook/very-secret-path?key=1` };
}

/** What is wrong with a message by the official package, or its content. */
const verified = ({ body, headers }: Received) =>
  new Webhook(SECRET).verify(body, headers as Record<string, string>) as {
    type: string;
    data: Record<string, unknown>;
  };

type Form = NonNullable<RelayConfig["alerts"]>["webhooks"][number];
const alerts = (webhooks: readonly Form[], thresholds: object = {}) => ({
  thresholds: alertThresholdsSchema.parse({ diskPercent: 99, ...thresholds }),
  webhooks: [...webhooks],
});
/** Ends tomorrow. */
const tokens = { backend: { expiresAt: new Date(Date.now() + 86_400_000).toISOString() } };
const STANDARD: Form = { format: "standard", language: "en" };
const watched = { everyMs: 20, retries: [0.01, 0.01, 0.01], calmMs: 50 };
const addresses = (...urls: string[]): RelaySecrets => ({
  alertWebhooks: urls.map((url) => ({ url, secret: SECRET })),
});

describe("webhooks of alerts", () => {
  it("get a signed message of Standard Webhooks, or a text as Slack takes it, in their language", async () => {
    const [model, standard, slack] = await Promise.all([startModel(), startReceiver(), startReceiver()]);
    const forms: Form[] = [STANDARD, { format: "slack", language: "ko", events: ["token_end"] }];
    const secrets = addresses(standard.url, slack.url);
    const relay = await startTestRelay(
      model.url,
      { tokens, alerts: alerts(forms) },
      { secrets, alertOptions: watched },
    );
    await expect.poll(() => standard.received.length, { timeout: 20_000 }).toBe(1);
    await expect.poll(() => slack.received.length, { timeout: 20_000 }).toBe(1);
    const message = verified(standard.received[0]!);
    expect(message).toMatchObject({ type: "token_end", data: { hostname: "slm.example.com", subject: "backend" } });
    expect(message.data.text).toMatch(/service token of backend ends at/);
    expect(() =>
      new Webhook(`whsec_${Buffer.alloc(32, 1).toString("base64")}`).verify(
        standard.received[0]!.body,
        standard.received[0]!.headers as Record<string, string>,
      ),
    ).toThrow();
    expect(JSON.parse(slack.received[0]!.body)).toEqual({
      text: expect.stringMatching(/\[slm\.example\.com\] backend의 서비스 토큰이/),
    });
    const data = (await (await fetch(`${relay.url}/status/data.json`, { headers: asPerson })).json()) as {
      alerts: unknown;
    };
    expect(data.alerts).toMatchObject({
      active: [{ kind: "token_end", subject: "backend" }],
      webhooks: [{ format: "standard", pending: 0, last: [{ type: "token_end", isDelivered: true, status: 204 }] }, {}],
    });
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toMatch(/slm_alerts_active\{kind="token_end"\} 1/);
    expect(metrics).toMatch(/slm_alerts_active\{kind="disk"\} 0/);
    expect(metrics).toMatch(/slm_alerts_raised_total\{kind="token_end"\} 1/);
    expect(metrics).toMatch(/slm_alerts_deliveries_total\{result="delivered"\} 2/);
    // The address of a webhook is a secret.
    expect(JSON.stringify(data) + metrics + JSON.stringify(relay.lines)).not.toContain("very-secret-path");
  });

  it("are told that the model server is down, once, and that it is back", async () => {
    const [model, receiver] = await Promise.all([
      startModel((_seen, res) => res.end('{"models":[]}')),
      startReceiver(),
    ]);
    await model.close();
    const clock = { ms: Date.now() };
    const only = { ...STANDARD, events: ["model_down"] } satisfies Form;
    await startTestRelay(
      model.url,
      { tokens, alerts: alerts([only], { modelDownSeconds: 10 }) },
      {
        secrets: addresses(receiver.url),
        alertOptions: { ...watched, now: () => (clock.ms += 3_000) },
      },
    );
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(1);
    expect(verified(receiver.received[0]!)).toMatchObject({ type: "model_down", data: { subject: "ollama" } });
    await startModel((_seen, res) => res.end('{"models":[]}'), Number(new URL(model.url).port));
    await expect.poll(() => receiver.received.length, { timeout: 30_000 }).toBe(2);
    expect(verified(receiver.received[1]!)).toMatchObject({ type: "model_down.resolved" });
  }, 60_000);

  it("that fail are tried again with the same id, and a redirect is not followed", async () => {
    const elsewhere = await startReceiver();
    const [model, receiver] = await Promise.all([
      startModel(),
      startReceiver((n) => (n === 1 ? 500 : n === 2 ? { status: 302, headers: { Location: elsewhere.url } } : 200)),
    ]);
    const relay = await startTestRelay(
      model.url,
      { tokens, alerts: alerts([STANDARD]) },
      { secrets: addresses(receiver.url), alertOptions: watched },
    );
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(3);
    expect(new Set(receiver.received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    for (const one of receiver.received) expect(verified(one).type).toBe("token_end");
    expect(elsewhere.received).toEqual([]);
    await expect
      .poll(async () => (await fetch(`${relay.admin}/metrics`)).text())
      .toMatch(/slm_alerts_deliveries_total\{result="failed"\} 2/);
  });

  it("that are gone (410) or never answer well get each message a bounded number of times", async () => {
    const [model, gone, broken] = await Promise.all([startModel(), startReceiver(() => 410), startReceiver(() => 500)]);
    const secrets = addresses(gone.url, broken.url);
    const relay = await startTestRelay(
      model.url,
      { tokens, alerts: alerts([STANDARD, STANDARD]) },
      { secrets, alertOptions: watched },
    );
    await expect
      .poll(async () => (await fetch(`${relay.admin}/metrics`)).text(), { timeout: 20_000 })
      .toMatch(/slm_alerts_deliveries_total\{result="dropped"\} 2/);
    expect(gone.received).toHaveLength(1);
    expect(broken.received).toHaveLength(4);
    const { alerts: shown } = (await (await fetch(`${relay.admin}/details`)).json()) as {
      alerts: { webhooks: unknown[] };
    };
    expect(shown.webhooks[1]).toMatchObject({
      pending: 0,
      last: [{ isDelivered: false, status: 500, reason: "answered 500" }],
    });
  });

  it("are not told twice after a restart, and get what was not delivered before it", async () => {
    let status = 503;
    const [model, receiver] = await Promise.all([startModel(), startReceiver(() => status)]);
    const dataDir = await temporaryFolder();
    const settings = { tokens, alerts: alerts([STANDARD]), dataDir };
    const secrets = addresses(receiver.url);
    // The first pause is longer than this relay lives.
    const first = await startTestRelay(model.url, settings, { secrets, alertOptions: { ...watched, retries: [3600] } });
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(1);
    await first.close();
    const kept = await readFile(join(dataDir, "alerts.json"), "utf8");
    expect(kept).toContain("token_end");
    expect(kept).not.toContain("very-secret-path");
    expect(kept).not.toContain(SECRET);
    status = 200;
    const second = await startTestRelay(model.url, settings, { secrets, alertOptions: watched });
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(2);
    expect(receiver.received[1]!.headers["webhook-id"]).toBe(receiver.received[0]!.headers["webhook-id"]);
    await second.close();
    const third = await startTestRelay(model.url, settings, { secrets, alertOptions: watched });
    await expect
      .poll(
        async () =>
          ((await (await fetch(`${third.admin}/details`)).json()) as { alerts: { active: unknown[] } }).alerts.active
            .length,
      )
      .toBe(1);
    await third.close();
    expect(receiver.received).toHaveLength(2);
  }, 60_000);

  it("a damaged file is as none, and is said", async () => {
    const [model, receiver, dataDir] = await Promise.all([startModel(), startReceiver(), temporaryFolder()]);
    await writeFile(join(dataDir, "alerts.json"), '{"held": "torn');
    const relay = await startTestRelay(
      model.url,
      { tokens, alerts: alerts([STANDARD]), dataDir },
      { secrets: addresses(receiver.url), alertOptions: watched },
    );
    await expect.poll(() => receiver.received.length, { timeout: 20_000 }).toBe(1);
    expect(relay.lines.some(({ msg }) => String(msg).startsWith("the file of alerts cannot be read"))).toBe(true);
  });

  it("without alerts there is no file, no metric and nothing in the status", async () => {
    const [model, dataDir] = await Promise.all([startModel(), temporaryFolder()]);
    const relay = await startTestRelay(model.url, { dataDir });
    expect(await (await fetch(`${relay.admin}/metrics`)).text()).not.toContain("slm_alerts");
    expect(await (await fetch(`${relay.admin}/details`)).json()).not.toHaveProperty("alerts");
    await relay.close();
    await expect(readFile(join(dataDir, "alerts.json"))).rejects.toThrow();
  });
});

describe("relay.mjs --test-alerts", () => {
  it("sends a test to each webhook beside the running relay, and says which failed", { timeout: 60_000 }, async () => {
    const [good, bad, folder] = await Promise.all([startReceiver(), startReceiver(() => 403), temporaryFolder()]);
    await mkdir(join(folder, "data"));
    const forms: Form[] = [
      { ...STANDARD, events: ["disk"] },
      { format: "slack", language: "ko" },
    ];
    const config = {
      ...testConfig("http://127.0.0.1:9", join(folder, "data"), { tokens, alerts: alerts(forms) }),
      ...(await freePorts()),
    };
    const run = await runRelay(folder, config, {}, undefined, ["--test-alerts"], addresses(good.url, bad.url));
    expect(await run.exit).toBe(1);
    expect(run.lines).toEqual([
      [
        { host: new URL(good.url).host, format: "standard", isDelivered: true, status: 204 },
        { host: new URL(bad.url).host, format: "slack", isDelivered: false, status: 403, reason: "answered 403" },
      ],
    ]);
    expect(verified(good.received[0]!)).toMatchObject({ type: "test", data: { hostname: "slm.example.com" } });
    expect(JSON.parse(bad.received[0]!.body)).toEqual({ text: expect.stringContaining("시험 알림") });
  });

  it("webhooks and secrets that do not fit are invalid settings", { timeout: 60_000 }, async () => {
    const folder = await temporaryFolder();
    const config = {
      ...testConfig("http://127.0.0.1:9", folder, { tokens, alerts: alerts([STANDARD, STANDARD]) }),
      ...(await freePorts()),
    };
    const fewer = await runRelay(folder, config, {}, undefined, [], addresses("https://a.example.com/x"));
    expect(await fewer.exit).toBe(78);
    expect(fewer.stderr()).toMatch(/alerts\.webhooks has 2 and the secrets' alertWebhooks 1 entries/);
    const plain = await runRelay(
      folder,
      config,
      {},
      undefined,
      [],
      addresses("http://a.example.com/secret-x", "https://a.example.com"),
    );
    expect(await plain.exit).toBe(78);
    expect(plain.stderr()).toMatch(/alerts\.webhooks\[0\] is not https/);
    expect(plain.stderr()).not.toContain("secret-x");
  });
});
