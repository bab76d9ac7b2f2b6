/** A collector that is away, slow or refuses costs the relay a counter and one line of the log; without one nothing is loaded. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as tar from "tar";
import { expect, it } from "vitest";
import { buildRelease } from "../../../../runtime/build.ts";
import { post, startModel, startTestRelay, temporaryFolder } from "../harness.ts";
import { startCollector } from "./collector.ts";

const otlp = (endpoint: string, samplingRatio = 1) => ({ otlp: { endpoint, samplingRatio, serviceName: "slm-test" } });
const CHAT = "/v1/chat/completions";

async function metric(admin: string, line: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(
    text
      .split("\n")
      .find((one) => one.startsWith(`${line} `))
      ?.slice(line.length + 1) ?? 0,
  );
}
const spans = (admin: string, result: string) => metric(admin, `slm_trace_spans_total{result="${result}"}`);

it("a collector that is away is logged once, and once when it is back", { timeout: 90_000 }, async () => {
  const model = await startModel();
  let status = 400; // not tried again
  const collector = await startCollector(() => status);
  const relay = await startTestRelay(model.url, { telemetry: otlp(collector.url) }, { traceEveryMs: 20 });
  for (let n = 0; n < 3; n++) {
    const before = await spans(relay.admin, "failed");
    expect((await post(relay, CHAT, { model: "tiny" })).status).toBe(200);
    await expect.poll(() => spans(relay.admin, "failed"), { timeout: 20_000 }).toBeGreaterThan(before);
  }
  const said = () => relay.lines.filter(({ msg }) => String(msg).startsWith("traces "));
  expect(said()).toHaveLength(1);
  expect(said()[0]).toMatchObject({ level: "warn", url: `${collector.url}/v1/traces` });
  status = 200;
  await (await post(relay, CHAT, { model: "tiny" })).text();
  await expect.poll(() => spans(relay.admin, "exported"), { timeout: 20_000 }).toBeGreaterThan(0);
  expect(said().map(({ level }) => level)).toEqual(["warn", "info"]);
});

it("more spans than fit are dropped and counted, and a stop does not wait for a collector that hangs", {
  timeout: 90_000,
}, async () => {
  const model = await startModel();
  // Takes connections and answers nothing.
  const { createServer } = await import("node:net");
  const hanging = createServer(() => {}).listen(0, "127.0.0.1");
  await new Promise((resolve) => hanging.once("listening", resolve));
  const { port } = hanging.address() as { port: number };
  const options = { traceEveryMs: 20, traceMaxSpans: 8 };
  const relay = await startTestRelay(model.url, { telemetry: otlp(`http://127.0.0.1:${port}`) }, options);
  for (let n = 0; n < 8; n++) expect((await post(relay, CHAT, { model: "tiny" })).status).toBe(200);
  await expect.poll(() => spans(relay.admin, "dropped"), { timeout: 20_000 }).toBeGreaterThan(0);
  expect(await spans(relay.admin, "exported")).toBe(0);
  const begun = performance.now();
  await relay.close();
  expect(performance.now() - begun).toBeLessThan(10_000); // its flush may take 2 s; the exporter alone would try for longer
  hanging.close();
});

it("a ratio of 0 keeps what a caller has sampled, and nothing else", { timeout: 60_000 }, async () => {
  const [model, collector] = await Promise.all([startModel(), startCollector()]);
  const relay = await startTestRelay(model.url, { telemetry: otlp(collector.url, 0) }, { traceEveryMs: 20 });
  await (await post(relay, CHAT, { model: "tiny" })).text();
  const traceparent = `00-${"c".repeat(32)}-b7ad6b7169203331-01`;
  await (await post(relay, CHAT, { model: "tiny" }, { headers: { traceparent } })).text();
  const found = await collector.until((all) => all.some(({ kind }) => kind === "SERVER"));
  expect(new Set(found.map(({ traceId }) => traceId))).toEqual(new Set(["c".repeat(32)]));
});

it("headers for the collector are sent, and its secret is nowhere else", { timeout: 60_000 }, async () => {
  const [model, collector] = await Promise.all([startModel(), startCollector()]);
  const secrets = { otlpHeaders: { authorization: "Bearer collector-secret" } };
  const relay = await startTestRelay(model.url, { telemetry: otlp(collector.url) }, { traceEveryMs: 20, secrets });
  await (await post(relay, CHAT, { model: "tiny" })).text();
  await collector.until((all) => all.length > 0);
  expect(collector.headers[0]!.authorization).toBe("Bearer collector-secret");
  expect(JSON.stringify(relay.lines) + collector.bytes() + JSON.stringify(model.seen)).not.toContain(
    "collector-secret",
  );
});

it("without telemetry.otlp no line has a trace id, the caller's context passes as it is, and there is no metric", async () => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const traceparent = `00-${"c".repeat(32)}-b7ad6b7169203331-01`;
  await (await post(relay, CHAT, { model: "tiny" }, { headers: { traceparent } })).text();
  expect(model.seen[0]!.headers.traceparent).toBe(traceparent);
  await expect.poll(() => relay.lines.find(({ msg }) => msg === "request")).toBeDefined();
  expect(relay.lines.some((line) => "trace_id" in line)).toBe(false);
  expect(await (await fetch(`${relay.admin}/metrics`)).text()).not.toContain("slm_trace");
});

it("OpenTelemetry is in files that the installed relay loads only when it is needed", { timeout: 60_000 }, async () => {
  const folder = await temporaryFolder();
  const { path } = await buildRelease(join(folder, "dist"));
  await tar.extract({ file: path, cwd: folder });
  const files = (await readdir(folder)).filter((name) => name.endsWith(".mjs"));
  const text = new Map(
    await Promise.all(files.map(async (name) => [name, await readFile(join(folder, name), "utf8")] as const)),
  );
  const atStart = new Set<string>();
  const follow = (name: string): void => {
    if (atStart.has(name)) return;
    atStart.add(name);
    for (const [, imported] of text.get(name)!.matchAll(/(?:from|import)\s?"\.\/([\w.-]+)"/g)) follow(imported!);
  };
  follow("relay.mjs");
  const hasOtel = (name: string) => text.get(name)!.includes("application/x-protobuf");
  expect(files.filter(hasOtel).length).toBeGreaterThan(0);
  expect([...atStart].filter(hasOtel)).toEqual([]);
});
