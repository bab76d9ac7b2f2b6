import { describe, expect, test } from "vitest";
import {
  asServer,
  CLIENT_ID,
  codeOf,
  post,
  raw,
  serverToken,
  startModel,
  startTestRelay,
  type TestRelay,
  testConfig,
  token,
} from "../harness.ts";

/** Conditions are waited for this long on a busy machine. */
const PATIENT = { timeout: 20_000 };
const limits = { ...testConfig("", "").limits, chat: 1, embeddings: 1 };
const OTHER_ID = "fedcba9876543210fedcba9876543210.access";
const bound = (companies: string[]) => [
  { name: "backend", clientId: CLIENT_ID, companies, weight: 1, enabled: true },
  { name: "other", clientId: OTHER_ID, companies: ["*"], weight: 1, enabled: true },
];

/** A model server that answers one at a time, when told to, and knows whose turn it was. */
async function startTurns() {
  const held: { who: string; answer: () => void }[] = [];
  const model = await startModel(({ body, method }, res) => {
    if (method === "GET") return void res.end('{"models":[]}');
    const { who } = JSON.parse(body.toString()) as { who: string };
    const answer = () => void res.writeHead(200, { "Content-Type": "application/json" }).end("{}");
    held.push({ who, answer });
  });
  return {
    ...model,
    held,
    /** Answers the next `count`. @returns who they were for */
    async answer(count: number): Promise<string[]> {
      const who: string[] = [];
      for (let n = 0; n < count; n += 1) {
        await expect.poll(() => held.length, PATIENT).toBeGreaterThan(0);
        const next = held.shift()!;
        who.push(next.who);
        next.answer();
      }
      return who;
    },
  };
}

const waitingIn = async (relay: TestRelay) => {
  const details = (await (await fetch(`${relay.admin}/details`)).json()) as {
    lanes: { chat: { running: number; waiting: number; waitingBackground: number } };
  };
  return details.lanes.chat;
};

test.each([
  ["Slm-Company", "/v1/chat/completions"],
  ["X-Slm-Company", "/api/generate"],
])(
  "one company's flood does not delay another company of the same caller: %s on %s",
  async (header, path) => {
    const model = await startTurns();
    const relay = await startTestRelay(model.url, { limits });
    const ask = (who: string) =>
      post(relay, path, { who }, { headers: { [header]: encodeURIComponent(who) } }).catch(() => {});
    const flood = Array.from({ length: 30 }, () => ask("주식회사 가나"));
    await expect.poll(() => waitingIn(relay), PATIENT).toMatchObject({ waiting: 29 });
    const quiet = ask("조용한 회사");
    await expect.poll(() => waitingIn(relay), PATIENT).toMatchObject({ waiting: 30 });
    expect((await model.answer(4)).indexOf("조용한 회사")).toBeGreaterThan(0);
    await quiet;
    await relay.close();
    await Promise.all(flood);
  },
  60_000,
);

test("one company's flood of jobs does not delay another company's job", async () => {
  const model = await startTurns();
  const relay = await startTestRelay(model.url, { limits });
  const submit = (who: string) =>
    post(relay, "/v1/completions", { who }, { headers: { Prefer: "respond-async", "Slm-Company": who } });
  for (let n = 0; n < 20; n += 1) expect((await submit("loud")).status).toBe(202);
  expect((await submit("quiet")).status).toBe(202);
  expect(await model.answer(4)).toContain("quiet");
  // The model server is not told.
  expect(model.seen.every(({ headers }) => headers["slm-company"] === undefined)).toBe(true);
}, 60_000);

describe("the header", () => {
  const path = "/v1/chat/completions";
  const ask = (relay: TestRelay, headers: Record<string, string>) => post(relay, path, {}, { headers });

  test.each([
    ["none", {}, 200, undefined],
    ["one of the caller's", { "Slm-Company": "acme" }, 200, undefined],
    ["by its older name", { "X-Slm-Company": "acme" }, 200, undefined],
    ["both, alike", { "X-Slm-Company": "acme", "Slm-Company": "%61cme" }, 200, undefined],
    ["in NFD and with spaces", { "Slm-Company": encodeURIComponent(` ${"가나".normalize("NFD")} `) }, 200, undefined],
    ["both, and they differ", { "X-Slm-Company": "acme", "Slm-Company": "%EA%B0%80%EB%82%98" }, 400, "company_invalid"],
    ["not percent-encoded UTF-8", { "Slm-Company": "%E0%A4" }, 400, "company_invalid"],
    ["empty", { "Slm-Company": "%20" }, 400, "company_invalid"],
    ["a control character", { "Slm-Company": "a%0Ab" }, 400, "company_invalid"],
    ["too long", { "Slm-Company": "x".repeat(201) }, 400, "company_invalid"],
    ["another company", { "Slm-Company": "other" }, 403, "company_not_allowed"],
    ["another company, by the older name", { "X-Slm-Company": "other" }, 403, "company_not_allowed"],
  ])("%s", async (_name, headers, status, code) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { callers: bound(["acme", "가나"]) });
    const answer = await ask(relay, headers);
    expect(answer.status).toBe(status);
    if (code !== undefined) expect(await codeOf(answer)).toBe(code);
    expect(model.seen).toHaveLength(status === 200 ? 1 : 0);
  });

  test("applies to every path for servers, including those without a queue, and to jobs", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url, { callers: bound(["acme"]) });
    const headers = { ...asServer, "Slm-Company": "other" };
    for (const get of ["/v1/models", "/v1/jobs/job_0"]) {
      const answer = await fetch(relay.url + get, { headers });
      expect([get, answer.status]).toEqual([get, 403]);
    }
    expect((await ask(relay, { "Slm-Company": "other", Prefer: "respond-async" })).status).toBe(403);
    const anybody = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };
    expect((await ask(relay, { ...anybody, "Slm-Company": "whoever" })).status).toBe(200);
  });

  // 가나상사 has bytes that are control characters in Latin-1; 국민 has none.
  test.each(["국민", "가나상사", " 국민\t", "국민".normalize("NFD"), "%EA%B5%AD민", "주식회사 é"])(
    "in raw UTF-8 is the company it means: %j",
    async (name) => {
      const model = await startModel();
      const companies = ["국민", "가나상사", "주식회사 é".normalize("NFD")];
      const relay = await startTestRelay(model.url, { callers: bound(companies) });
      for (const header of ["Slm-Company", "X-Slm-Company"]) {
        expect(await rawHeader(relay, header, Buffer.from(name))).toMatch(/^HTTP\/1\.1 200 /);
      }
    },
  );

  test.each([
    ["CP949", Buffer.from([0xb1, 0xb9, 0xb9, 0xce])],
    ["Latin-1", Buffer.from("Müller", "latin1")],
    ["cut UTF-8", Buffer.from("국민").subarray(0, 5)],
    ["a surrogate in UTF-8", Buffer.from([0xed, 0xa0, 0x80])],
  ])("in %s is refused with what to write", async (_what, bytes) => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    for (const header of ["Slm-Company", "X-Slm-Company"]) {
      const answer = await rawHeader(relay, header, bytes);
      expect(answer).toMatch(/^HTTP\/1\.1 400 .*company_invalid/s);
      expect(answer).toContain(`The header ${header}`);
      expect(answer).toContain("%EA%B5%AD%EB%AF%BC is");
    }
    expect(model.seen).toHaveLength(0);
  });

  const rawHeader = (relay: TestRelay, header: string, value: Buffer) =>
    raw(
      relay.port,
      Buffer.concat([
        Buffer.from(
          `POST ${path} HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n${header}: `,
        ),
        value,
        Buffer.from("\r\nContent-Length: 2\r\n\r\n{}"),
      ]),
    );

  test("sent twice with different names is refused, not joined", async () => {
    const model = await startModel();
    const relay = await startTestRelay(model.url);
    const twice = (one: string, other: string) =>
      raw(
        relay.port,
        `POST ${path} HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nConnection: close\r\n` +
          `Slm-Company: ${one}\r\nSlm-Company: ${other}\r\nContent-Length: 2\r\n\r\n{}`,
      );
    expect(await twice("a", "b")).toMatch(/^HTTP\/1\.1 400 .*company_invalid/s);
    expect(await twice("a", "a")).toMatch(/^HTTP\/1\.1 200 /);
  });
});

test("a request whose response has begun is not evicted; another one gets status 429", async () => {
  const model = await startTurns();
  const relay = await startTestRelay(
    model.url,
    { callers: bound(["*"]), limits: { ...limits, waiting: 2 } },
    { keepAlive: { sseMs: 50, jsonMs: 60_000, everyMs: 100, stallMs: 60_000, pauseMs: 30_000 } },
  );
  const other = { "Cf-Access-Jwt-Assertion": await token({ common_name: OTHER_ID }) };
  const running = post(relay, "/v1/completions", { who: "a" });
  await expect.poll(() => model.held.length, PATIENT).toBe(1);
  const stream = await post(relay, "/v1/completions", { who: "stream", stream: true }); // its first comment has come
  const told = post(relay, "/v1/completions", { who: "a" });
  await expect.poll(() => waitingIn(relay), PATIENT).toMatchObject({ waiting: 2 });
  const quiet = post(relay, "/v1/completions", { who: "b" }, { headers: other });
  const evicted = await told;
  expect([evicted.status, await codeOf(evicted)]).toEqual([429, "queue_full"]);
  expect(Number(evicted.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await model.answer(3)).sort()).toEqual(["a", "b", "stream"]);
  expect((await quiet).status).toBe(200);
  expect((await running).status).toBe(200);
  expect(await stream.text()).toMatch(/^: waiting\n\n/);
}, 30_000);
