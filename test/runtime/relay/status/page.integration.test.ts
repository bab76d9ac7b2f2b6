/** The page's own requests: its program, its events, and what operators do from it. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { buildStatusPage } from "../../../../runtime/build.ts";
import { MAX_PAGE_STREAMS_PER_PERSON } from "../../../../runtime/relay/memory/holdings.ts";
import type { PageState } from "../../../../runtime/relay/status/page-data.ts";
import { installRelay } from "../drills/bundled.ts";
import {
  asPerson,
  asServer,
  CLIENT_ID,
  codeOf,
  PEOPLE,
  post,
  rawGet,
  startModel,
  startTestRelay,
  TEAM,
  type TestRelay,
  testConfig,
  token,
} from "../harness.ts";

const ORIGIN = "https://slm.example.com";
const PAGE = { Origin: ORIGIN, "X-Slm-Action": "cancel" };
const folder = join(import.meta.dirname, "../../../..", "dist/status-page-test");
beforeAll(() => buildStatusPage(folder));

const operators = ["kim@example.com"];
const personWith = async (claims: Record<string, unknown>) => ({
  "Cf-Access-Jwt-Assertion": await token({ aud: [PEOPLE], common_name: undefined, ...claims }),
});

/** A relay with an operator, and a model server that does not answer. */
async function startRelayWithJob(company?: string): Promise<{ relay: TestRelay; id: string }> {
  const model = await startModel(() => {});
  const { access } = testConfig(model.url, "");
  const relay = await startTestRelay(
    model.url,
    { access: { ...access, operators } },
    { statusAssets: pathToFileURL(`${folder}/`) },
  );
  const headers = { Prefer: "respond-async", ...(company && { "Slm-Company": encodeURIComponent(company) }) };
  const answer = await post(relay, "/v1/chat/completions", { model: "slm", messages: [] }, { headers });
  expect(answer.status).toBe(202);
  return { relay, id: ((await answer.json()) as { id: string }).id };
}

const cancel = (relay: TestRelay, id: string, headers: Record<string, string>, init: RequestInit = {}) =>
  fetch(`${relay.url}/status/jobs/${id}/cancel`, { method: "POST", redirect: "manual", ...init, headers });
const stateOf = async (relay: TestRelay, id: string) =>
  (await (await fetch(`${relay.url}/v1/jobs/${id}`, { headers: asServer })).json()) as {
    state: string;
    error: { message: string } | null;
  };

/** The events of a stream, until it has this many or ends. */
async function eventsOf(relay: TestRelay, headers: Record<string, string>, count: number) {
  const leave = new AbortController();
  onTestFinished(() => leave.abort());
  const answer = await fetch(`${relay.url}/status/events`, { headers, signal: leave.signal });
  if (answer.body === null || answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
  const events: { event: string; data: Partial<PageState> }[] = [];
  let text = "";
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const found = text.split("\n\n");
    text = found.pop() ?? "";
    for (const one of found) {
      const [, event, data] = /^event: (\S+)\ndata: (.*)$/s.exec(one) ?? [];
      if (event !== undefined) events.push({ event, data: JSON.parse(data!) as Partial<PageState> });
    }
    if (events.length >= count) break;
  }
  return { events, leave: () => leave.abort(), headers: answer.headers };
}

describe("what the page is made of", () => {
  test("comes from this origin, under a policy without inline script or style", async () => {
    const { relay } = await startRelayWithJob();
    const page = await fetch(`${relay.url}/status`, { headers: { ...asPerson, "Accept-Language": "ko-KR" } });
    const html = await page.text();
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy.split("; ").toSorted()).toEqual(
      [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "img-src 'self' data:",
        "require-trusted-types-for 'script'",
        "script-src 'self'",
        "style-src 'self'",
        "trusted-types 'none'",
      ].toSorted(),
    );
    expect(html).toContain('<html lang="ko"');
    expect([...html.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(([, path]) => path)).toEqual([
      "/status/app.css",
      "/status/app.js",
      "/status/data.json",
    ]);
    for (const [path, type, file] of [
      ["/status/app.js", "text/javascript; charset=utf-8", "status-page.js"],
      ["/status/app.css", "text/css; charset=utf-8", "status-page.css"],
    ] as const) {
      for (const encoding of ["gzip", "identity"]) {
        const answer = await fetch(relay.url + path, { headers: { ...asPerson, "Accept-Encoding": encoding } });
        expect([answer.status, answer.headers.get("content-type")]).toEqual([200, type]);
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
        expect(answer.headers.get("cache-control")).toBe("no-store, no-transform");
        expect(answer.headers.get("content-encoding")).toBe(encoding === "gzip" ? "gzip" : null);
        expect(await answer.text()).toBe(await readFile(join(folder, file), "utf8"));
      }
    }
  });

  test("is for people only, and its paths are exact", async () => {
    const { relay, id } = await startRelayWithJob();
    for (const path of ["/status", "/status/events", "/status/usage.json", "/status/app.js", "/status/data.json"]) {
      expect([path, (await rawGet(relay.port, path)).code]).toEqual([path, "access_wrong_audience"]);
    }
    expect(await codeOf(await cancel(relay, id, { ...asServer, ...PAGE }))).toBe("access_wrong_audience");
    const person = asPerson["Cf-Access-Jwt-Assertion"];
    for (const path of ["/status/", "/status/App.js", "/status/jobs/x/cancel/", "/status/../status/app.js"]) {
      expect([path, (await rawGet(relay.port, path, person)).status]).toEqual([path, 404]);
    }
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      expect([method, (await rawGet(relay.port, "/status", person, method)).status]).toEqual([method, 405]);
    }
    expect((await rawGet(relay.port, `/status/jobs/${id}/cancel`, person)).status).toBe(405);
    expect((await rawGet(relay.port, "/status/events", person, "HEAD")).status).toBe(405);
  });

  test("a question about usage that makes no sense is refused", async () => {
    const { relay } = await startRelayWithJob();
    const answer = await fetch(`${relay.url}/status/usage.json?span=year`, { headers: asPerson });
    expect([answer.status, await codeOf(answer)]).toEqual([400, "status_query_invalid"]);
  });
});

describe("the events", () => {
  test("have everything first, then what changes, and end when the relay stops", async () => {
    const { relay, id } = await startRelayWithJob("국민은행");
    const { events, headers, leave } = await eventsOf(relay, asPerson, 1);
    expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const state: Partial<PageState> = events[0]?.data ?? {};
    expect(state.relay).toMatchObject({ hostname: "slm.example.com", draining: false });
    expect(state.jobs?.latest).toMatchObject([{ id, caller: "backend", company: "국민은행" }]);
    expect(JSON.stringify(state)).not.toContain("messages"); // nothing of the job's contents
    leave();
    const open = await fetch(`${relay.url}/status/events`, { headers: asPerson });
    await relay.close();
    expect((await open.text()).trimEnd().split("\n\n").at(-1)).toBe("event: closing\ndata: {}");
  });

  test("end with the sign-in", async () => {
    const { relay } = await startRelayWithJob();
    // Access is accepted up to 30 s past its end, for clocks that differ; the stream ends at the end.
    const soon = await personWith({ email: "kim@example.com", exp: Math.floor(Date.now() / 1000) + 2 });
    const { events } = await eventsOf(relay, soon, 1000);
    expect(events.at(-1)?.event).toBe("signed-out");
  });

  test("are bounded for each person", async () => {
    const { relay } = await startRelayWithJob();
    const leave = new AbortController();
    onTestFinished(() => leave.abort());
    for (let open = 0; open < MAX_PAGE_STREAMS_PER_PERSON; open++) {
      const { status } = await fetch(`${relay.url}/status/events`, { headers: asPerson, signal: leave.signal });
      expect(status).toBe(200);
    }
    const refused = await fetch(`${relay.url}/status/events`, { headers: asPerson });
    expect([refused.status, await codeOf(refused)]).toEqual([429, "too_many_streams"]);
    const lee = await personWith({ email: "lee@example.com" });
    expect((await eventsOf(relay, lee, 1)).events).toHaveLength(1);
    leave.abort();
    await expect.poll(async () => (await eventsOf(relay, asPerson, 1).catch(() => undefined))?.events.length).toBe(1);
  });
});

describe("cancelling a job", () => {
  test("is for operators, from the page; its caller sees that, and the audit log has it", async () => {
    const { relay, id } = await startRelayWithJob("국민은행");
    await expect.poll(async () => (await stateOf(relay, id)).state).toBe("in_progress");
    const done = await cancel(relay, id, { ...asPerson, ...PAGE });
    expect([done.status, await done.json()]).toEqual([200, { id, outcome: "done" }]);
    expect(await stateOf(relay, id)).toMatchObject({
      state: "cancelled",
      error: { message: "The job was cancelled by an operator." },
    });
    // Replayed, it changes nothing.
    const again = await cancel(relay, id, { ...asPerson, ...PAGE, "Sec-Fetch-Site": "same-origin" });
    expect(await again.json()).toEqual({ id, outcome: "not_needed" });
    const { events } = await eventsOf(relay, asPerson, 1);
    const act = { who: "kim@example.com", action: "cancel_job", job: id, caller: "backend", company: "국민은행" };
    expect(events[0]?.data.audit).toMatchObject([
      { ...act, outcome: "not_needed" },
      { ...act, outcome: "done" },
    ]);
    expect(relay.lines.filter(({ audit }) => audit === true)).toHaveLength(2);
  });

  const refusals: [string, Record<string, string>, string][] = [
    ["without Origin", { "X-Slm-Action": "cancel" }, "origin_not_allowed"],
    ["without our header", { Origin: ORIGIN }, "origin_not_allowed"],
    ["with another action", { ...PAGE, "X-Slm-Action": "cancel, cancel" }, "origin_not_allowed"],
    ...[
      "null",
      "http://slm.example.com",
      "https://slm.example.com:444",
      "https://slm.example.com.evil.org",
      "https://evil.org",
      "https://SLM.example.com",
      "https://slm.example.com/",
      "https://slm.example.com https://evil.org",
      "",
    ].map((origin): [string, Record<string, string>, string] => [
      `with the Origin ${JSON.stringify(origin)}`,
      { ...PAGE, Origin: origin },
      "origin_not_allowed",
    ]),
    ...["cross-site", "same-site", "none"].map((site): [string, Record<string, string>, string] => [
      `from a page that is ${site}`,
      { ...PAGE, "Sec-Fetch-Site": site },
      "origin_not_allowed",
    ]),
  ];
  test("is refused from anywhere else", async () => {
    const { relay, id } = await startRelayWithJob();
    for (const [name, headers, code] of refusals) {
      for (const type of ["text/plain", "application/json", "multipart/form-data; boundary=x"]) {
        const answer = await cancel(relay, id, { ...asPerson, ...headers, "Content-Type": type }, { body: "{}" });
        expect([name, answer.status, await codeOf(answer)]).toEqual([name, 403, code]);
      }
    }
    expect(["queued", "in_progress"]).toContain((await stateOf(relay, id)).state);
    // What was refused is in the log, not among the acts.
    const { events } = await eventsOf(relay, asPerson, 1);
    expect(events[0]?.data.audit).toEqual([]);
    expect(relay.lines.filter(({ code, audit }) => audit === true && code === "origin_not_allowed").length).toBe(
      refusals.length * 3,
    );
  });

  test("is refused for other people, whoever they claim to be, without a hint whether the job exists", async () => {
    const { relay, id } = await startRelayWithJob();
    const people: Record<string, unknown>[] = [
      { email: "lee@example.com" },
      { email: "\u212aim@example.com" },
      { email: "kim@example.com.evil.org" },
      { email: ["kim@example.com"] },
      { email: { toString: "kim@example.com" } },
      { email: "constructor" },
      { email: undefined },
      { email: undefined, custom: { email: "kim@example.com" } },
      // A service token's claims have a common name: it is no person.
      { email: "kim@example.com", common_name: CLIENT_ID },
    ];
    for (const claims of people) {
      const who = await personWith(claims);
      const headers = { ...who, ...PAGE, "Cf-Access-Authenticated-User-Email": "kim@example.com" };
      for (const job of [id, `job_${"0".repeat(32)}`, "nonsense"]) {
        const answer = await cancel(relay, job, headers);
        expect([claims, answer.status, await codeOf(answer)]).toEqual([claims, 403, "operator_required"]);
      }
    }
    const expired = await personWith({ email: "kim@example.com", exp: Math.floor(Date.now() / 1000) - 60 });
    expect(await codeOf(await cancel(relay, id, { ...expired, ...PAGE }))).toBe("access_expired");
    const foreign = await personWith({ email: "kim@example.com", iss: `https://evil.${TEAM}` });
    expect(await codeOf(await cancel(relay, id, { ...foreign, ...PAGE }))).toBe("access_invalid");
    expect(["queued", "in_progress"]).toContain((await stateOf(relay, id)).state);
  });

  test("the address counts in any case, and only for jobs that are there", async () => {
    const { relay, id } = await startRelayWithJob();
    const kim = await personWith({ email: "KIM@Example.COM" });
    for (const job of [`job_${"0".repeat(32)}`, id.replace("job_", "resp_"), id.toUpperCase(), "__proto__"]) {
      const answer = await cancel(relay, job, { ...kim, ...PAGE });
      expect([job, answer.status, await codeOf(answer)]).toEqual([job, 404, "job_not_found"]);
    }
    expect((await cancel(relay, id, { ...kim, ...PAGE })).status).toBe(200);
  });

  test("without the setting, nobody can", async () => {
    const model = await startModel(() => {});
    const relay = await startTestRelay(model.url);
    const answer = await cancel(relay, `job_${"0".repeat(32)}`, { ...asPerson, ...PAGE });
    expect([answer.status, await codeOf(answer)]).toEqual([403, "operator_required"]);
  });

  test("is not done when the audit log cannot be written", async () => {
    const { relay, id } = await startRelayWithJob();
    // A folder in the file's place.
    await mkdir(join(relay.dataDir, "audit.jsonl"));
    const answer = await cancel(relay, id, { ...asPerson, ...PAGE });
    expect([answer.status, await codeOf(answer)]).toEqual([503, "audit_unavailable"]);
    expect(["queued", "in_progress"]).toContain((await stateOf(relay, id)).state);
  });
});

test("the release has the page's program, and a relay of it serves both files", async () => {
  const model = await startModel((_seen, res) => res.end('{"models":[]}'));
  const installed = await installRelay(model.url);
  await installed.start();
  for (const [path, start] of [
    ["/status/app.js", /EventSource/],
    ["/status/app.css", /\.uplot/],
  ] as const) {
    const answer = await fetch(installed.url + path, { headers: asPerson });
    expect([path, answer.status]).toEqual([path, 200]);
    expect(await answer.text()).toMatch(start);
  }
  const page = await (await fetch(`${installed.url}/status`, { headers: asPerson })).text();
  expect(page).toContain('<script src="/status/app.js" defer>');
});

test("what is known of the tokens is taken over while the relay runs", async () => {
  const model = await startModel((_seen, res) => res.end('{"models":[]}'));
  const relay = await startTestRelay(model.url);
  const config = testConfig(model.url, relay.dataDir);
  const tokensNow = async () => (await eventsOf(relay, asPerson, 1)).events[0]?.data.tokens;
  expect(await tokensNow()).toMatchObject([{ name: "backend", expiresAt: null }]);
  relay.reload({
    ...config,
    tokens: { backend: { expiresAt: "2027-01-01T00:00:00Z", duration: "24h" } },
  });
  expect(await tokensNow()).toMatchObject([
    { expiresAt: Date.parse("2027-01-01T00:00:00Z"), issuedAt: Date.parse("2026-12-31T00:00:00Z") },
  ]);
});

test("a caller can be called like something that every object has", async () => {
  const model = await startModel((_seen, res) => res.end("{}"));
  const callers = ["constructor", "valueof", "hasownproperty"].map((name, at) => ({
    name: name === "valueof" ? "valueOf" : name === "hasownproperty" ? "hasOwnProperty" : name,
    clientId: `${String(at).repeat(32)}.access`,
    companies: ["*"],
    weight: 1,
    enabled: true,
  }));
  const relay = await startTestRelay(model.url, { callers });
  for (const { clientId } of callers) {
    const headers = { "Cf-Access-Jwt-Assertion": await token({ common_name: clientId }) };
    await post(relay, "/v1/chat/completions", { model: "slm", messages: [] }, { headers });
  }
  await expect
    .poll(async () => {
      const data = (await (await fetch(`${relay.admin}/details`)).json()) as {
        tally: { byCaller: Record<string, { requests: number }> };
      };
      return Object.entries(data.tally.byCaller).map(([name, { requests }]) => [name, requests]);
    })
    .toEqual(callers.map(({ name }) => [name, 1]));
});
