import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { reloadablePart } from "../../../runtime/config.ts";
import { freePorts, runRelay } from "./child.ts";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  startModel,
  startTestRelay,
  temporaryFolder,
  testConfig,
  token,
} from "./harness.ts";

const second = "f".repeat(32);
const caller = { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true };
const other = { ...caller, name: "other", clientId: `${second}.access` };
const asOther = { "Cf-Access-Jwt-Assertion": await token({ common_name: other.clientId }) };

describe("callers, limits and limits of jobs", () => {
  test("are taken over at once: a caller switched off, one that is new, another limit", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const limits = { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 1, whenBusy: "queue" } as const;
    const big = "x".repeat(2 << 20);
    const chat = (content: string, headers = asServer) =>
      post(relay, "/v1/chat/completions", { model: "m", messages: [{ role: "user", content }] }, { headers });
    expect((await chat(big)).status).toBe(200);
    expect(await codeOf(await chat("a", asOther))).toBe("caller_unknown");

    const jobs = { ...testConfig(model.url, "").jobs, retentionDays: 2, maxAttempts: 9 };
    const now = { callers: [{ ...caller, enabled: false }, other], limits, jobs };
    relay.reload(now);
    expect(await codeOf(await chat("a"))).toBe("caller_disabled");
    expect((await chat("a", asOther)).status).toBe(200);
    expect(await codeOf(await chat(big, asOther))).toBe("body_too_large");
    expect(await (await fetch(`${relay.admin}/config`)).text()).toBe(reloadablePart(now));
  });

  test("cut what runs for a caller that is switched off, and nothing else", async () => {
    const model = await startModel((_seen, res) => {
      res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
    });
    const relay = await startTestRelay(model.url, { callers: [caller, other] });
    const stream = async (headers: Record<string, string>) => {
      const response = await post(relay, "/v1/chat/completions", { model: "m", stream: true }, { headers });
      const reader = response.body!.getReader();
      await reader.read();
      return reader;
    };
    const [off, on] = [await stream(asServer), await stream(asOther)];
    relay.reload({ callers: [{ ...caller, enabled: false }, other], limits: testConfig("http://x", "").limits });
    await expect(off.read()).rejects.toThrow();
    const stillOpen = await Promise.race([
      on.read().then(() => "ended"),
      new Promise((r) => setTimeout(r, 100, "open")),
    ]);
    expect(stillOpen).toBe("open");
    await on.cancel();
  });
});

test("SIGHUP reads the files again; files that cannot be used change nothing", async () => {
  const model = await startModel();
  const folder = await temporaryFolder();
  const config = { ...testConfig(model.url, join(folder, "data")), ...(await freePorts()) };
  const relay = await runRelay(folder, config);
  await relay.line(({ msg }) => msg === "listening");
  const inUse = async () => (await fetch(`http://127.0.0.1:${config.adminPort}/config`)).text();
  expect(await inUse()).toBe(reloadablePart(config));

  await writeFile(join(folder, "relay.json"), "{");
  relay.child.kill("SIGHUP");
  await relay.line(({ msg }) => msg === "the new settings are invalid; the old ones stay");
  expect(await inUse()).toBe(reloadablePart(config));

  const changed = {
    ...config,
    callers: [{ ...caller, enabled: false }],
    limits: { ...config.limits, chat: 9 },
    jobs: { ...config.jobs, retentionDays: 3 },
  };
  await writeFile(join(folder, "relay.json"), JSON.stringify(changed));
  relay.child.kill("SIGHUP");
  await relay.line(({ msg }) => msg === "callers, limits and job limits reloaded");
  expect(await inUse()).toBe(reloadablePart(changed));
  relay.child.kill("SIGTERM");
  expect(await relay.exit).toBe(0);
});

test("SIGHUP before the start is complete does not end the relay: it reads the files once it runs", async () => {
  const model = await startModel();
  const folder = await temporaryFolder();
  const config = { ...testConfig(model.url, join(folder, "data")), ...(await freePorts()) };
  const former = createServer().listen(config.port, "127.0.0.1");
  await once(former, "listening");
  const relay = await runRelay(folder, config, {}, undefined, ["--take-over"]);
  const admin = `http://127.0.0.1:${config.adminPort}`;
  const alive = () =>
    fetch(`${admin}/healthz`).then(
      (response) => response.status,
      () => 0,
    );
  await expect.poll(alive, { timeout: 60_000 }).toBe(200);
  const changed = { ...config, callers: [{ ...caller, enabled: false }] };
  await writeFile(join(folder, "relay.json"), JSON.stringify(changed));
  relay.child.kill("SIGHUP");
  // A request that is answered after the signal was handled: it would have ended the process by then.
  expect(await alive()).toBe(200);
  former.close();
  await relay.line(({ msg }) => msg === "callers, limits and job limits reloaded");
  expect(await (await fetch(`${admin}/config`)).text()).toBe(reloadablePart(changed));
  relay.child.kill("SIGTERM");
  expect(await relay.exit).toBe(0);
});
