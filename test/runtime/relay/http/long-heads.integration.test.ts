/** Long request lines and headers: each is answered in the relay's own words, which name the limit and what to do. */

import { connect } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import { limitsSchema } from "../../../../runtime/limits-config.ts";
import { asServer, CLIENT_ID, raw, serverToken, startModel, startTestRelay } from "../harness.ts";

const callers = [{ name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true }];
const start = async () => {
  const model = await startModel();
  return startTestRelay(model.url, { callers });
};
const korean = (characters: number, form: "NFC" | "NFD" = "NFC") => "계".repeat(characters).normalize(form);
const query = (title: string) => `/v1/documents?company=A&title=${encodeURIComponent(title)}`;

test.each([
  ["GET", 2000],
  ["PUT", 2000],
  ["DELETE", 2000],
  ["GET", 1334],
])(
  "a title of too many Korean characters in the query of a %s gets 400 that names the limit (%i)",
  async (method, n) => {
    const relay = await start();
    const body = method === "PUT" ? JSON.stringify({ text: "글" }) : null;
    const response = await fetch(relay.url + query(korean(n)), { method, body, headers: asServer });
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect([response.status, error.code]).toEqual([400, "document_name_invalid"]);
    expect(error.message).toContain("at most 4000");
  },
);

test.each(["NFC", "NFD"] as const)(
  "the longest Korean title is accepted in a query and in a header, in %s",
  async (form) => {
    const relay = await start();
    const title = korean(1333, form);
    const looked = await fetch(relay.url + query(title), { headers: asServer });
    expect([looked.status, looked.headers.get("slm-miss")]).toEqual([404, "absent"]);
    const named = await fetch(`${relay.url}/v1/embeddings`, {
      method: "POST",
      headers: { ...asServer, "Slm-Company": "A", "Slm-Document": encodeURIComponent(title) },
      body: JSON.stringify({ model: "embed", input: [] }),
    });
    const { error } = (await named.json()) as { error: { code: string } };
    expect(error.code).toBe("document_invalid"); // the input is empty; the name is not the problem
  },
);

test("a title of 2,000 Korean characters in the header gets 400 that names the limit", async () => {
  const relay = await start();
  const response = await fetch(`${relay.url}/v1/embeddings`, {
    method: "POST",
    headers: { ...asServer, "Slm-Company": "A", "Slm-Document": encodeURIComponent(korean(2000)) },
    body: JSON.stringify({ model: "embed", input: "글" }),
  });
  const { error } = (await response.json()) as { error: { code: string; message: string } };
  expect([response.status, error.code]).toEqual([400, "document_name_invalid"]);
});

test.each([
  ["a URL", `GET /v1/documents?title=${"%EA%B3%84".repeat(6000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ["a path", `GET /${"a".repeat(60_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ["one header", `GET /v1/models HTTP/1.1\r\nHost: x\r\nSlm-Document: ${"%EA%B3%84".repeat(6000)}\r\n\r\n`],
  ["many headers", `GET /v1/models HTTP/1.1\r\nHost: x\r\n${"X-A: 가\r\n".repeat(6000)}\r\n`],
  ["a name of a header", `GET /v1/models HTTP/1.1\r\nHost: x\r\n${"x".repeat(60_000)}: 1\r\n\r\n`],
  ["a token", `GET /v1/models HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${"e".repeat(60_000)}\r\n\r\n`],
  ["a method", `${"G".repeat(60_000)} / HTTP/1.1\r\nHost: x\r\n\r\n`],
])("%s beyond the bound gets the relay's own error, which says what to shorten", async (name, text) => {
  const relay = await start();
  const answer = await raw(relay.port, text);
  const { error } = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as {
    error: { code: string; message: string };
  };
  if (name === "a method") {
    expect([answer.split(" ")[1], error.code]).toEqual(["400", "http_malformed"]);
    return;
  }
  expect([answer.split(" ")[1], error.code]).toEqual(["431", "headers_too_large"]);
  expect(error.message).toMatch(/40 KiB.*title.*2,000 characters/);
  expect(answer).toMatch(/^x-slm-request-id: /im);
});

test("long heads of requests that are open count towards their caller's memory, short ones do not", async () => {
  const model = await startModel(() => {}); // never answers
  const limits = limitsSchema.parse({ chat: 2, bodyMiB: 8, memoryMiB: 64 });
  const relay = await startTestRelay(model.url, { callers, limits });
  const held = async () => {
    const text = await (await fetch(`${relay.admin}/metrics`)).text();
    return Number(/slm_memory_held_bytes\{caller="backend"\} (\d+)/.exec(text)?.[1]);
  };
  const head = (filler: number) =>
    `GET /v1/models HTTP/1.1\r\nHost: x\r\nCf-Access-Jwt-Assertion: ${serverToken}\r\nX: ${"y".repeat(filler)}\r\n\r\n`;
  const sockets = [head(10_000), head(30_000)].map((text) => {
    const socket = connect(relay.port, "127.0.0.1").on("error", () => {});
    onTestFinished(() => void socket.destroy());
    socket.write(text);
    return socket;
  });
  await vi.waitFor(async () => expect(await held()).toBeGreaterThan(30_000), { timeout: 20_000 });
  expect(await held()).toBeLessThan(40_000);
  for (const socket of sockets) socket.destroy();
  await vi.waitFor(async () => expect(await held()).toBe(0), { timeout: 20_000 });
});
