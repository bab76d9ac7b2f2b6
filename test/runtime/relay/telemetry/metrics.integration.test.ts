import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { alertThresholdsSchema } from "../../../../runtime/alert-config.ts";
import { post, startModel, startTestRelay } from "../harness.ts";

const docs = join(import.meta.dirname, "../../../../docs");

test("the docs list exactly the metrics that the relay has", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    res.write('data: {"a":1}\n\n');
    setTimeout(() => res.end('data: {"usage":{"prompt_tokens":3,"completion_tokens":5}}\n\n'), 10);
  });
  const direct = { lines: [{ server: "backend", port: 0 }] };
  // Traces and alerts have metrics where they are on; nothing listens at either address.
  const telemetry = { otlp: { endpoint: "http://127.0.0.1:1", samplingRatio: 1, serviceName: "slm-test" } };
  const alerts = {
    thresholds: alertThresholdsSchema.parse({}),
    webhooks: [{ format: "slack" as const, language: "en" as const }],
  };
  const secrets = { alertWebhooks: [{ url: "http://127.0.0.1:1/" }] };
  const relay = await startTestRelay(model.url, { direct, directCredentials: {}, telemetry, alerts }, { secrets });
  await (await post(relay, "/v1/chat/completions", { stream: true })).text();
  const text = await (await fetch(`${relay.admin}/metrics`)).text();
  const there = new Set([...text.matchAll(/^# TYPE (slm_\w+)/gm)].map(([, name]) => name));
  const named = new Set(
    ["relay.md", "jobs.md", "documents.md", "alerts.md"].flatMap((file) =>
      [...readFileSync(join(docs, file), "utf8").matchAll(/`(slm_[a-z_]+)/g)].map(([, name]) => name),
    ),
  );
  expect([...there].sort()).toEqual([...named].sort());
});

test("requests, tokens, bytes and locations are counted once, however often the metrics are read", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": "application/json" });
    res.end('{"usage":{"prompt_tokens":3,"completion_tokens":5}}');
  });
  const relay = await startTestRelay(model.url);
  const read = async () => (await (await fetch(`${relay.admin}/metrics`)).text()).split("\n");
  const ask = async () =>
    (await post(relay, "/v1/chat/completions", {}, { headers: { "CF-Ray": "8f0a1b2c3d4e5f60-ICN" } })).text();
  await ask();
  await read();
  await ask();
  await ask();
  await read();
  await expect
    .poll(read)
    .toEqual(
      expect.arrayContaining([
        'slm_requests_total{route="/v1/chat/completions",status="200",caller="backend"} 3',
        'slm_entry_colo_total{colo="ICN",caller="backend"} 3',
        'slm_tokens_total{lane="chat",caller="backend",kind="prompt"} 9',
        'slm_tokens_total{lane="chat",caller="backend",kind="output"} 15',
        'slm_body_bytes_total{lane="chat",caller="backend",direction="in"} 6',
        "slm_requests_in_flight 0",
      ]),
    );
});
