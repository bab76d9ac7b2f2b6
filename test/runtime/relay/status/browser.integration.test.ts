/** The status page in a real Chromium, through the edge, with somebody who has signed in. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { ensureChromium, NO_CHROMIUM } from "../../../chromium.ts";
import { startModel, temporaryFolder } from "../harness.ts";
import { barriers, DIRECTOR, defaultLimits, HOST, READER, StatusNetwork } from "./network.ts";

const chromium = ensureChromium((line) => console.log(line));
/** Where pictures of the page are put; none are made without it. */
const { SLM_NETWORK_SCREENSHOTS: pictures } = process.env;
const TIMEOUT = 120_000;
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844 };
const network = new StatusNetwork();

const HARM = `<img src=x onerror="document.body.dataset.harmed='1'"><script>document.body.dataset.harmed='1'</script>`;
const chat = (text = "안녕하세요") => ({
  model: "company-slm:12b",
  stream: true,
  messages: [{ role: "user", content: text }],
});

/** A model server whose answers have 40 tokens a second until the test ends them; those to "짧게" have twenty tokens. */
async function startStreamingModel() {
  const timers = new Set<NodeJS.Timeout>();
  const model = await startModel(({ method, body }, res) => {
    if (method === "GET") {
      const models = [{ name: "company-slm:12b" }, { name: "bge-m3:latest" }, { name: HARM }];
      return void res.end(JSON.stringify({ models }));
    }
    res.writeHead(200, { "Content-Type": "text/event-stream" });
    const isBrief = body.includes("짧게");
    let tokens = 0;
    const timer = setInterval(() => {
      tokens += 1;
      if (res.destroyed || (isBrief && tokens > 20)) {
        clearInterval(timer);
        res.end("data: [DONE]\n\n");
      } else res.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: "네 " } }] })}\n\n`);
    }, 25);
    timers.add(timer);
    res.on("close", () => clearInterval(timer));
  });
  onTestFinished(() => {
    for (const timer of timers) clearInterval(timer);
  });
  return model;
}

/** Calls that run until the test has ended. */
function keepCalling(count: number, name: "backend" | "batch", company: string) {
  const calls = Array.from({ length: count }, () =>
    network.call(name, chat(), { "Slm-Company": encodeURIComponent(company) }).then(
      (answer) => answer,
      () => undefined,
    ),
  );
  onTestFinished(async () => {
    for (const call of calls) void call.then((answer) => answer?.body?.cancel().catch(() => {}));
  });
}

async function submitJob(company: string): Promise<string> {
  const headers = { Prefer: "respond-async", "Slm-Company": encodeURIComponent(company) };
  const answer = await network.call("batch", { ...chat("작업"), stream: false }, headers);
  expect(answer.status).toBe(202);
  return ((await answer.json()) as { id: string }).id;
}

async function picture(page: Page, name: string, fullPage = false): Promise<void> {
  if (!pictures) return;
  await mkdir(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage });
}

/** The page is brought up to date every two seconds, and later on a busy machine. */
const soon = <T>(question: () => T) => expect.poll(question, { timeout: 60_000 });

const text = (page: Page, selector: string) => page.locator(selector).first().innerText();
const headline = (page: Page) => text(page, ".headline");

/** In both languages and both themes: axe finds nothing, and nothing is wider than the screen. */
async function lookAtAll(page: Page, what: string): Promise<void> {
  for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    await page.setViewportSize(viewport);
    for (const language of ["한국어", "English"]) {
      await page.getByRole("button", { name: language }).click();
      for (const theme of [1, 2]) {
        await page.locator(".menu .choice").nth(1).locator("button").nth(theme).click();
        const name = `${what}-${language === "English" ? "en" : "ko"}-${theme === 1 ? "light" : "dark"}-${size}`;
        expect([name, await barriers(page)]).toEqual([name, []]);
        const [width, room] = (await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")) as number[];
        expect(width, name).toBeLessThanOrEqual(room!);
        await picture(page, name, size === "phone" || theme === 1);
      }
    }
  }
  await page.setViewportSize(DESKTOP);
}

describe.skipIf(chromium === undefined)(`the status page (${chromium ?? NO_CHROMIUM})`, { timeout: TIMEOUT }, () => {
  beforeAll(() => network.start(chromium!), TIMEOUT);
  afterAll(() => network.stop());

  test("shows a director at a glance how things are, under load, live, without barriers", async () => {
    const model = await startStreamingModel();
    const day = 86_400_000;
    const ends = (days: number) => ({ expiresAt: new Date(Date.now() + days * day).toISOString(), duration: "8760h" });
    const relay = await network.relay(model.url, {
      limits: { ...defaultLimits, chat: 3, chatAuto: { min: 3, max: 3 } },
      tokens: { backend: ends(211), batch: ends(19) },
    });
    // What has been: some calls that were answered, and one that was refused.
    const companies = ["국민은행", "국민은행", "한빛전자", "Acme & Söhne", HARM];
    for (const company of companies) {
      const answer = await network.call("backend", chat("짧게"), { "Slm-Company": encodeURIComponent(company) });
      expect((await answer.text()).match(/data:/g)?.length).toBeGreaterThan(20);
    }
    expect((await network.call("batch", "no json")).status).toBe(400);
    const { page, problems } = await network.signIn(DIRECTOR);
    expect(await headline(page)).toBe("정상 작동 중");
    await soon(() => page.locator(".card").nth(3).locator(".figure").innerText()).toBe("6");
    expect(await page.locator("#history canvas").count()).toBe(4);
    expect(await text(page, "#companies tbody")).toContain(HARM);
    expect(await text(page, "#entry tbody")).toMatch(/ICN · 서울\s+100%/);
    expect(await text(page, "#tokens tbody")).toMatch(/backend[^\n]*\d{4}년 \d+월 \d+일 이전/);
    expect(await text(page, ".warnings")).toContain("batch의 서비스 토큰이 19일 후 만료됩니다.");
    // Each chart has its numbers in a table, too.
    await page.locator("#history summary").first().click();
    const rows = await page.locator("#history details").first().locator("tbody tr").allInnerTexts();
    const answered = rows.map((row) => Number(row.split("\t")[1]));
    expect(answered.reduce((sum, one) => sum + one, 0)).toBe(5);
    await page.getByRole("button", { name: "1시간" }).click();
    await soon(() => text(page, "#history h3 .step")).toBe("1분 단위");
    expect(await page.title()).toContain(HOST);
    expect(await text(page, ".live")).toBe("실시간");
    expect(await page.locator(".card").nth(1).innerText()).toContain("기다리는 요청 없음");
    keepCalling(5, "backend", "국민은행");
    keepCalling(2, "batch", "Acme & Söhne");
    // Without a reload: three run, four wait, and tokens flow.
    await soon(() => page.locator(".card").nth(2).locator(".figure").innerText()).toBe("3");
    await soon(() => page.locator(".card").nth(1).locator(".figure").innerText()).toBe("4");
    await soon(async () => Number(await page.locator(".card").nth(0).locator(".figure").innerText())).toBeGreaterThan(
      20,
    );
    expect(await page.locator("#callers tbody tr").count()).toBe(2);
    // A model's name is only text.
    expect(await text(page, ".models")).toContain(HARM);
    expect(await page.evaluate("document.body.dataset.harmed")).toBeUndefined();
    await lookAtAll(page, "load");
    expect(problems).toEqual([]);
    await relay.close();
  });

  test("says what is wrong and what to do when the model server is down, and when it is back", async () => {
    const model = await startStreamingModel();
    const port = Number(new URL(model.url).port);
    const relay = await network.relay(model.url);
    const { page, problems } = await network.signIn(DIRECTOR);
    expect(await headline(page)).toBe("정상 작동 중");
    await model.close();
    await soon(() => headline(page)).toBe("모델 서버가 응답하지 않습니다");
    expect(await text(page, ".warnings")).toMatch(/Mac에서 모델 서버를 시작하세요.*ECONNREFUSED/s);
    await lookAtAll(page, "model-down");
    await startModel((_seen, res) => res.end('{"models":[]}'), port);
    await page.getByRole("button", { name: "English" }).click();
    await soon(() => headline(page)).toBe("Working");
    expect(await page.locator(".warnings").count()).toBe(0);
    expect(problems).toEqual([]);
    await relay.close();
  });

  test("says that it is not up to date while the relay is away, and goes on by itself; shows the outage", async () => {
    const model = await startModel((_seen, res) => res.end('{"models":[]}'));
    const relay = await network.relay(model.url);
    const { page } = await network.signIn(DIRECTOR);
    await page.getByRole("button", { name: "English" }).click();
    await relay.close();
    await soon(() => page.locator(".notice").count()).toBe(1);
    expect(await text(page, ".notice")).toContain("Not up to date");
    expect(await barriers(page)).toEqual([]);
    // The next relay finds that the last one was not stopped.
    const dataDir = await temporaryFolder();
    const seenAt = new Date(Date.now() - 14 * 60_000).toISOString();
    await writeFile(
      join(dataDir, "heartbeat.json"),
      JSON.stringify({ boot: "before", seenAt, requests: 3, stopped: false }),
    );
    const next = await network.relay(model.url, { dataDir });
    await soon(() => page.locator(".notice").count()).toBe(0);
    expect(await text(page, "#outages tbody")).toMatch(/14 min.*The Mac lost power or was reset.*3/s);
    await lookAtAll(page, "outage");
    await next.close();
  });

  test("remembers language and colours, follows the browser until then, and can be used by keyboard alone", async () => {
    const model = await startModel((_seen, res) => res.end('{"models":[]}'));
    const relay = await network.relay(model.url);
    const english = await network.signIn(READER, { locale: "en-US", colorScheme: "dark" });
    const { page } = english;
    expect(await headline(page)).toBe("Working");
    const background = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const dark = await background();
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.className")).toBe("skip");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter"); // the first button of the banner: Korean
    expect(await headline(page)).toBe("정상 작동 중");
    // The button that was pressed has the focus still.
    expect(await page.evaluate("document.activeElement.textContent")).toBe("한국어");
    for (let tab = 0; tab < 3; tab++) await page.keyboard.press("Tab");
    await page.keyboard.press("Space"); // light
    expect(await background()).not.toBe(dark);
    const light = await background();
    await page.reload();
    await page.locator(".cards").waitFor();
    expect([await headline(page), await background()]).toEqual(["정상 작동 중", light]);
    expect(await page.evaluate("document.documentElement.lang")).toBe("ko");
    await relay.close();
  });

  test("an operator cancels a job, sees it in the audit log; somebody else has no button for it", async () => {
    const model = await startStreamingModel();
    const relay = await network.relay(model.url);
    const id = await submitJob(HARM);
    const { page, problems } = await network.signIn(DIRECTOR, { locale: "en-US" });
    const row = page.locator("#jobs tbody tr").first();
    await soon(() => row.innerText()).toContain("runs");
    expect(await row.innerText()).toContain(HARM);
    const button = row.getByRole("button", { name: `Cancel job ${id} of batch` });
    await button.click();
    expect(await barriers(page)).toEqual([]);
    await page.keyboard.press("Escape");
    expect(await page.locator("dialog").count()).toBe(0);
    expect(await row.innerText()).toContain("runs");
    await button.click();
    await page.getByRole("button", { name: "Cancel the job" }).click();
    await soon(() => row.innerText()).toContain("cancelled");
    await soon(() => text(page, "#audit tbody")).toContain(DIRECTOR);
    expect(await page.evaluate("document.body.dataset.harmed")).toBeUndefined();
    const other = await submitJob("국민은행");
    const { page: theirs } = await network.signIn(READER, { locale: "en-US" });
    await soon(() => theirs.locator("#jobs tbody tr").count()).toBe(2);
    expect(await theirs.locator("#jobs button").count()).toBe(0);
    // Asked all the same, from the page itself: refused.
    const refused = await theirs.evaluate(
      `fetch("/status/jobs/${other}/cancel", { method: "POST", headers: { "X-Slm-Action": "cancel" } }).then((answer) => answer.json())`,
    );
    expect(refused).toMatchObject({ error: { code: "operator_required" } });
    expect(problems).toEqual([]);
    await relay.close();
  });
});
