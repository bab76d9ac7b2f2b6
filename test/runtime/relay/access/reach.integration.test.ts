/**
 * What belongs to another caller does not exist, by whatever path one asks for it. Elsewhere: the paths of people and servers
 * (`access.integration.test.ts`), companies in headers (`company.integration.test.ts`), responses of the model server
 * (`model/response-owners.test.ts`).
 */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { startEmbeddingModel } from "../documents/model.ts";
import { at, call } from "../documents/relays.ts";
import { asServer, CLIENT_ID, raw, serverToken, startTestRelay, type TestRelay, token } from "../harness.ts";

const THIEF_ID = "fedcba9876543210fedcba9876543210.access";
const thiefToken = await token({ common_name: THIEF_ID });
const asThief = { "Cf-Access-Jwt-Assertion": thiefToken };
const callers = [
  { name: "backend", clientId: CLIENT_ID, companies: ["국민"], weight: 1, enabled: true },
  { name: "thief", clientId: THIEF_ID, companies: ["도둑"], weight: 1, enabled: true },
];
const SECRET = "비밀 계약서의 본문";
const PATIENT = { timeout: 20_000, interval: 50 };
const kept = { "Slm-Company": encodeURIComponent("국민") };

let relay: TestRelay;
let jobId = "";
let id = "";

/** An answer to the thief, as text: status, headers, body. */
async function steal(
  method: string,
  path: string,
  headers: Record<string, string | undefined> = {},
  body?: unknown,
): Promise<string> {
  const text = body === undefined ? "" : JSON.stringify(body);
  const head = Object.entries({ ...asThief, ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}\r\n`],
  );
  return raw(
    relay.port,
    `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(text)}\r\n${head.join("")}\r\n${text}`,
  );
}

const statusOf = (answer: string) => Number(answer.split(" ")[1]);
/** Bytes of the other caller's text, in any form that an answer could have it. */
const reveals = (answer: string) =>
  Buffer.from(answer, "latin1").includes(SECRET) ||
  answer.includes(JSON.stringify(SECRET)) ||
  answer.includes("metadata-of-backend") ||
  answer.includes('"total_tokens":7');

beforeEach(async () => {
  const model = await startEmbeddingModel();
  relay = await startTestRelay(model.url, { callers });
  await call(relay, "PUT", at("국민", "계약서"), { text: SECRET, version: "v-국민" });
  const job = await call(
    relay,
    "POST",
    "/v1/embeddings",
    { model: "embed", input: [SECRET], metadata: { note: "metadata-of-backend" } },
    { Prefer: "respond-async", "Idempotency-Key": "shared-key", ...kept },
  );
  jobId = String(job.body.id);
  id = jobId.slice(4);
  await vi.waitFor(async () => {
    expect((await call(relay, "GET", `/v1/jobs/${jobId}`)).body.state).toBe("completed");
  }, PATIENT);
}, 60_000);

describe("another caller's job", () => {
  const spellings: readonly (readonly [name: string, path: () => string])[] = [
    ["its id", () => `/v1/jobs/${jobId}`],
    ["its result", () => `/v1/jobs/${jobId}/result`],
    ["its events", () => `/v1/jobs/${jobId}/events`],
    ["a response of its digits", () => `/v1/responses/resp_${id}`],
    ["a response to cancel", () => `/v1/responses/resp_${id}/cancel`],
    ["digits alone", () => `/v1/jobs/${id}`],
    ["upper case", () => `/v1/jobs/JOB_${id.toUpperCase()}`],
    ["a prefix", () => `/v1/jobs/${jobId.slice(0, 20)}`],
    ["a pattern", () => "/v1/jobs/job_%25"],
    ["a wildcard", () => "/v1/jobs/*"],
    ["percent-encoding", () => `/v1/jobs/%6aob_${id}`],
    ["double encoding", () => `/v1/jobs/%256aob_${id}`],
    ["a trailing slash", () => `/v1/jobs/${jobId}/`],
    ["a second slash", () => `/v1/jobs//${jobId}`],
    ["a dot segment", () => `/v1/jobs/x/../${jobId}`],
    ["an encoded dot segment", () => `/v1/jobs/x/%2e%2e/${jobId}/result`],
    ["a path parameter", () => `/v1/jobs/${jobId};owner=backend`],
    ["a NUL", () => `/v1/jobs/${jobId}%00`],
    ["an owner in the query", () => `/v1/jobs/${jobId}?owner=backend&caller=backend`],
    ["an absolute URL", () => `http://slm.example.com/v1/jobs/${jobId}/result`],
    ["a quote", () => `/v1/jobs/${jobId}'--`],
    ["SQL", () => `/v1/jobs/x'%20OR%20'1'='1`],
  ];

  test.each(spellings)("is not there under %s, for GET, HEAD, DELETE and POST", async (_name, path) => {
    for (const method of ["GET", "HEAD", "DELETE", "POST"]) {
      const answer = await steal(method, path());
      expect([400, 404, 405]).toContain(statusOf(answer));
      expect(reveals(answer)).toBe(false);
    }
    expect((await call(relay, "GET", `/v1/jobs/${jobId}/result`)).status).toBe(200);
  });

  test("looks as one that never was: status, code and words", async () => {
    const of = async (name: string) => {
      const answer = await steal("GET", `/v1/jobs/${name}`);
      return answer.slice(answer.indexOf("\r\n\r\n")).replaceAll(name, "");
    };
    expect(await of(jobId)).toBe(await of(`job_${"0".repeat(32)}`));
  });

  test.each([
    ["", 200],
    ["?state=completed", 200],
    ["?limit=100", 200],
    ["?owner=backend", 400],
    ["?caller=backend", 400],
    ["?state=completed&state=failed", 400],
    ["?state=completed'%20OR%201=1", 400],
  ])("is not in the list %j", async (query, status) => {
    const answer = await steal("GET", `/v1/jobs${query}`);
    expect(statusOf(answer)).toBe(status);
    expect(answer).not.toContain(id);
    expect(reveals(answer)).toBe(false);
  });

  test("is no place to begin a list at, and says nothing of its being there", async () => {
    const of = async (name: string) => {
      const answer = await steal("GET", `/v1/jobs?after=${name}`);
      return answer.slice(answer.indexOf("\r\n\r\n")).replaceAll(name, "");
    };
    expect(await of(jobId)).toBe(await of(`job_${"0".repeat(32)}`));
  });

  test.each([undefined, "respond-async", "respond-async, wait=20"])(
    "is not found by its Idempotency-Key, with Prefer: %s",
    async (Prefer) => {
      const body = { model: "embed", input: [SECRET] };
      const own = await steal("POST", "/v1/embeddings", { "Idempotency-Key": "shared-key", Prefer }, body);
      expect(own).not.toContain(id);
      expect(own).not.toMatch(/^idempotency-replayed/im);
      // Not even that the key is in use: a mismatch would say so.
      expect(statusOf(own)).toBeLessThan(300);
    },
  );

  test("cannot be continued as a response", async () => {
    const answer = await steal(
      "POST",
      "/v1/responses",
      {},
      { model: "m", input: "계속", previous_response_id: `resp_${id}` },
    );
    expect(answer).toContain('"code":"response_not_found"');
  });
});

describe("another company's document", () => {
  const company = encodeURIComponent("국민");
  const title = encodeURIComponent("계약서");
  const nfd = encodeURIComponent("국민".normalize("NFD"));
  const cursor = Buffer.from(JSON.stringify(["국", ""])).toString("base64url");

  test.each([
    ["by its names", "GET", `/v1/documents?company=${company}&title=${title}`],
    ["with its contents", "GET", `/v1/documents?company=${company}&title=${title}&include=chunks,vectors`],
    ["by its version", "GET", `/v1/documents?company=${company}&title=${title}&version=v-%EA%B5%AD%EB%AF%BC`],
    ["in another form of Unicode", "GET", `/v1/documents?company=${nfd}&title=${title}`],
    ["with spaces around the company", "GET", `/v1/documents?company=%20${company}%09&title=${title}`],
    [
      "with both companies",
      "GET",
      `/v1/documents?company=${encodeURIComponent("도둑")}&company=${company}&title=${title}`,
    ],
    ["in the list of its company", "GET", `/v1/documents?company=${company}`],
    ["to replace", "PUT", `/v1/documents?company=${company}&title=${title}`],
    ["to remove", "DELETE", `/v1/documents?company=${company}&title=${title}`],
    ["to remove with all others", "DELETE", `/v1/documents?company=${company}&all=true`],
    ["of every company", "GET", "/v1/documents?company=*"],
    ["by a pattern", "GET", "/v1/documents?company=%25&title=%25"],
    ["by an operator of MongoDB", "GET", "/v1/documents?company[$ne]=x&title[$ne]=x"],
  ])("is out of reach %s", async (_name, method, path) => {
    for (const headers of [{}, { "Slm-Company": encodeURIComponent("도둑") }, { Prefer: "respond-async" }]) {
      const answer = await steal(method, path, headers, method === "PUT" ? { text: "도둑의 글" } : undefined);
      expect([400, 403]).toContain(statusOf(answer));
      expect(reveals(answer)).toBe(false);
    }
    const there = await call(relay, "GET", at("국민", "계약서", { include: "chunks" }));
    expect(there.body.data?.[0]).toMatchObject({ text: SECRET });
  });

  test.each([
    ["a list without a company", ""],
    ["a list from a cursor of another company", `?after=${cursor}`],
    ["a list from a cursor that is no cursor", "?after=W10"],
  ])("is not in %s", async (_name, query) => {
    const answer = await steal("GET", `/v1/documents${query}`);
    expect([200, 400]).toContain(statusOf(answer));
    expect(Buffer.from(answer, "latin1").includes("계약서")).toBe(false);
  });

  test.each([
    ["its title", { company: "국민", title: "계약서" }],
    ["its title among own ones", { company: "국민", titles: ["계약서", "다른"] }],
    ["an object as company", { company: { $ne: "x" }, title: "계약서" }],
    ["a list as company", { company: ["도둑", "국민"], title: "계약서" }],
    ["a pattern", { company: "%", title: "%" }],
  ])("is not searched by %s", async (_name, names) => {
    for (const headers of [{}, { Prefer: "respond-async" }, { "Slm-Company": company }]) {
      const answer = await steal("POST", "/v1/documents/search", headers, { ...names, query: "비밀", k: 5 });
      expect([400, 403]).toContain(statusOf(answer));
      expect(reveals(answer)).toBe(false);
    }
  });

  test("does not lend its vectors to the same text of another company", async () => {
    const names = { "Slm-Company": encodeURIComponent("도둑"), "Slm-Document": title };
    const answer = await steal("POST", "/v1/embeddings", names, { model: "embed", input: SECRET });
    expect([statusOf(answer), /slm-reused: (\d)/i.exec(answer)?.[1]]).toEqual([200, "0"]);
  });

  test.each([
    ["the header alone", { "Slm-Company": company, "Slm-Document": title }],
    [
      "both names of the header",
      { "Slm-Company": encodeURIComponent("도둑"), "X-Slm-Company": company, "Slm-Document": title },
    ],
  ])("is not written to by an embedding call with %s", async (_name, headers) => {
    const answer = await steal("POST", "/v1/embeddings", headers as Record<string, string>, {
      model: "embed",
      input: "x",
    });
    expect([400, 403]).toContain(statusOf(answer));
  });
});

describe("usage and state of others", () => {
  test.each([
    "/status",
    "/status/data.json",
    "/metrics",
    "/details",
    "/healthz/../metrics",
    "/v1/usage",
    "/v1/usage?caller=backend",
    "/v1/batches",
    "/v1/files",
    "//metrics",
    "/%6detrics",
    "/metrics/",
  ])("are not served to a caller under %s", async (path) => {
    const answer = await steal("GET", path);
    if (statusOf(answer) === 200) expect(answer).not.toContain("backend");
    else expect([400, 403, 404]).toContain(statusOf(answer));
    expect(answer).not.toMatch(/slm_requests_total|"callers"/);
  });

  test("the description and the lists of models name no other caller and no company", async () => {
    for (const path of ["/openapi.json", "/v1/jobs", "/v1/documents"]) {
      const answer = Buffer.from(await steal("GET", path), "latin1").toString("utf8");
      expect(answer).not.toMatch(/backend|국민/);
    }
  });

  test("admin paths are not served on the public listener with a valid token, nor public ones on the admin listener", async () => {
    for (const path of ["/metrics", "/details"]) {
      const answer = await raw(
        relay.port,
        `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\n\r\n`,
      );
      expect(statusOf(answer)).toBe(404);
    }
    const jobs = await fetch(`${relay.admin}/v1/jobs`, { headers: asServer });
    expect(jobs.status).toBe(404);
  });
});

describe("tricks with the request line", () => {
  test.each([
    ["an absolute URL", "GET http://127.0.0.1:1/v1/models HTTP/1.1"],
    ["an absolute URL of the model server", "GET http://127.0.0.1:11434/api/delete HTTP/1.1"],
    ["a URL with a user", "GET http://backend@x/v1/jobs HTTP/1.1"],
    ["the authority form", "CONNECT 127.0.0.1:22 HTTP/1.1"],
    ["the asterisk", "OPTIONS * HTTP/1.1"],
    ["no slash", "GET v1/models HTTP/1.1"],
    ["a backslash", "GET \\v1\\models HTTP/1.1"],
    ["two slashes", "GET //v1/models HTTP/1.1"],
    ["a dot segment", "GET /v1/../v1/models HTTP/1.1"],
    ["an encoded slash", "GET /v1%2fmodels HTTP/1.1"],
    ["upper case", "GET /V1/MODELS HTTP/1.1"],
    ["a path parameter", "GET /v1/models;x=y HTTP/1.1"],
    ["a NUL", "GET /v1/models%00 HTTP/1.1"],
    ["a fragment", "GET /v1/models#x HTTP/1.1"],
    ["a tab", "GET /v1/models%09 HTTP/1.1"],
    ["an overlong encoding", "GET /v1/%c0%afmodels HTTP/1.1"],
    ["a model's id that climbs", "GET /v1/models/..%2f..%2fapi%2fdelete HTTP/1.1"],
    ["a model's id of dots", "GET /v1/models/.. HTTP/1.1"],
    ["TRACE", "TRACE /v1/models HTTP/1.1"],
    ["a method of one's own", "FETCH /v1/models HTTP/1.1"],
    ["HTTP/2's preface", "PRI * HTTP/2.0"],
    ["HTTP/9", "GET /v1/models HTTP/9.9"],
  ])("%s reaches no other path", async (_name, line) => {
    const answer = await raw(
      relay.port,
      `${line}\r\nHost: x\r\nConnection: close\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nX-Original-URL: /metrics\r\nX-HTTP-Method-Override: DELETE\r\n\r\n`,
    );
    expect(answer === "" || [400, 404, 405].includes(statusOf(answer))).toBe(true);
  });
});
