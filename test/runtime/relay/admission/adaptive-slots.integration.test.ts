/** `limits.chat: auto` in the relay, before the emulated model server, whose slots change while it runs. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { z } from "zod";
import { parseStackConfig } from "../../../../config/config.ts";
import type { AdaptiveTimes } from "../../../../runtime/relay/admission/adaptive.ts";
import type { PageState } from "../../../../runtime/relay/status/page-data.ts";
import { CHAT_MODEL } from "../../../../sandbox/model/models.ts";
import { startModelServer } from "../../../../sandbox/model/server.ts";
import { LEAST } from "../../../config/stack.ts";
import { asPerson, post, startTestRelay, type TestRelay, temporaryFolder } from "../harness.ts";

/** Seconds instead of minutes. */
const times: AdaptiveTimes = {
  epochMs: 2000,
  answersPerSlot: 3,
  settleMs: 500,
  waitMs: 3000,
  mostWaitUpMs: 6000,
  mostWaitDownMs: 60_000,
};
const limits = {
  chat: 6,
  chatAuto: { min: 1, max: 6 },
  embeddings: 2,
  waiting: 256,
  waitSeconds: 60,
  bodyMiB: 8,
  whenBusy: "queue",
} as const;

async function model(slots: number) {
  const server = await startModelServer({ port: 0, log: () => {}, slots, tokensPerSecond: 60, firstTokenMs: 20 });
  onTestFinished(() => server.close());
  return server;
}

/** Keeps ten requests open until the test has ended. */
function load(relay: TestRelay): void {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const body = { model: CHAT_MODEL, messages: [{ role: "user", content: "세 글자씩 되풀이합니다" }], stream: true };
  const caller = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await post(relay, "/v1/chat/completions", body, { signal: stop.signal }).then(
        (answer) => answer.text(),
        () => {},
      );
    }
  };
  for (let i = 0; i < 10; i += 1) void caller().catch(() => {});
}

const viewSchema = z.object({
  adaptiveChat: z.object({
    slots: z.int(),
    min: z.int(),
    max: z.int(),
    history: z.array(z.looseObject({ reason: z.string(), to: z.int() })),
  }),
});

async function view(relay: TestRelay) {
  const answer = await fetch(`${relay.url}/status/data.json`, { headers: asPerson });
  return viewSchema.parse(await answer.json()).adaptiveChat;
}

/** The first state that the status page gets. */
async function pageState(relay: TestRelay): Promise<PageState> {
  const events = await fetch(`${relay.url}/status/events`, { headers: asPerson });
  let text = "";
  for await (const chunk of events.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const data = /^data: (.*)\n\n/m.exec(text)?.[1];
    if (data !== undefined) return JSON.parse(data) as PageState;
  }
  throw new Error(`no state: ${text}`);
}

/** The number that is kept: that of the last decision, not of a try. */
async function kept(relay: TestRelay): Promise<number> {
  const { history } = await view(relay);
  const decided = history.find(({ reason }) => !reason.startsWith("try_"));
  return decided?.to ?? 0;
}

describe("limits.chat: auto", () => {
  it("finds how many the server takes, shows why, and is there again after a restart", {
    timeout: 240_000,
  }, async () => {
    const { url } = await model(3);
    const dataDir = await temporaryFolder();
    const relay = await startTestRelay(url, { limits, dataDir }, { adaptiveTimes: times });
    expect((await view(relay)).slots).toBe(1);
    load(relay);
    await expect.poll(() => kept(relay), { timeout: 120_000, interval: 500 }).toBeGreaterThanOrEqual(2);
    await expect
      .poll(async () => (await view(relay)).history.map(({ reason }) => reason), { timeout: 60_000 })
      .toContain("more_pays");
    const { adaptive } = await pageState(relay);
    expect(adaptive).toMatchObject({ min: 1, max: 6 });
    expect(adaptive?.changes.map(({ reason }) => reason)).toContain("more_pays");
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toMatch(/slm_adaptive_chat_slots\{value="max"\} 6/);
    expect(metrics).toMatch(/slm_adaptive_chat_changes_total\{reason="more_pays"\} \d/);
    await relay.close();
    const saved = z
      .object({ slots: z.int() })
      .parse(JSON.parse(await readFile(join(dataDir, "chat-slots.json"), "utf8")));
    expect(saved.slots).toBeGreaterThanOrEqual(2);
    const next = await startTestRelay(url, { limits, dataDir }, { adaptiveTimes: times });
    expect((await view(next)).slots).toBe(saved.slots);
    expect((await view(next)).history.map(({ reason }) => reason)).toContain("more_pays");
  });

  it("follows when the server takes more, and when it takes fewer again", { timeout: 300_000 }, async () => {
    const server = await model(1);
    const relay = await startTestRelay(server.url, { limits }, { adaptiveTimes: times });
    load(relay);
    const reasons = async () => (await view(relay)).history.map(({ reason }) => reason);
    await expect.poll(reasons, { timeout: 60_000 }).toContain("try_more");
    await expect.poll(async () => (await view(relay)).slots, { timeout: 60_000 }).toBe(1);
    server.resize(4);
    await expect.poll(() => kept(relay), { timeout: 120_000, interval: 500 }).toBeGreaterThanOrEqual(3);
    server.resize(1);
    await expect.poll(() => kept(relay), { timeout: 120_000, interval: 500 }).toBeLessThanOrEqual(2);
  });

  it("keeps to new bounds on a reload, and is off when the limit is a number again", async () => {
    const relay = await startTestRelay((await model(4)).url, { limits });
    const callers = [
      {
        name: "backend",
        clientId: "0123456789abcdef0123456789abcdef.access",
        companies: ["*"],
        weight: 1,
        enabled: true,
      },
    ];
    relay.reload({ callers, limits: { ...limits, chatAuto: { min: 3, max: 5 } } });
    expect(await view(relay)).toMatchObject({ slots: 3, min: 3, max: 5 });
    const { chatAuto: _, ...fixed } = limits;
    relay.reload({ callers, limits: { ...fixed, chat: 2 } });
    const data = (await (await fetch(`${relay.url}/status/data.json`, { headers: asPerson })).json()) as {
      lanes: { chat: { slots: number } };
    };
    expect(data).not.toHaveProperty("adaptiveChat");
    expect(data.lanes.chat.slots).toBe(2);
  });

  it("begins again when its file is damaged, and says so", async () => {
    const dataDir = await temporaryFolder();
    await writeFile(join(dataDir, "chat-slots.json"), '{"slots": 0}');
    const relay = await startTestRelay((await model(1)).url, { limits, dataDir });
    expect((await view(relay)).slots).toBe(1);
    expect(relay.lines.some(({ msg }) => String(msg).includes("its file is damaged"))).toBe(true);
  });
});

describe("limits.chat in the stack's config", () => {
  const read = (chat: unknown) => parseStackConfig({ ...LEAST, limits: { chat } }).limits;

  it.each([
    ["auto", 8, { min: 1, max: 8 }],
    [{ min: 2, max: 12 }, 12, { min: 2, max: 12 }],
    [{ max: 3 }, 3, { min: 1, max: 3 }],
    [5, 5, undefined],
  ])("is %j", (chat, most, bounds) => {
    const limits = read(chat);
    expect([limits.chat, limits.chatAuto]).toEqual([most, bounds]);
  });

  it.each(["often", 0, { min: 5, max: 3 }, { min: 0 }, { most: 3 }])("cannot be %j", (chat) => {
    expect(() => read(chat)).toThrow(/limits\.chat/);
  });
});
