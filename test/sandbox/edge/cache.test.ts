import { expect, test } from "vitest";
import { cacheable, lifetimeSeconds, memoryCache } from "../../../sandbox/edge/cache.ts";

const NOW = Date.parse("2026-11-22T00:00:00Z");

test.each([
  ["GET", "/a.pdf", undefined, true],
  ["GET", "/dir/%EA%B3%84.DOCX", undefined, true],
  ["GET", "/robots.txt", undefined, true],
  ["GET", "/dir/robots.txt", undefined, false],
  ["GET", "/a.html", undefined, false],
  ["GET", "/a.json", undefined, false],
  ["GET", "/a.pdf/text", undefined, false],
  ["GET", "/pdf", undefined, false],
  ["POST", "/a.pdf", undefined, false],
  ["HEAD", "/a.pdf", undefined, false],
  ["GET", "/a.pdf", "bytes=0-1", false],
])("%s %s (range %s) is cacheable: %s", (method, path, range, expected) => {
  expect(cacheable(method, path, { range })).toBe(expected);
});

test.each([
  [200, [], 7200],
  [404, [], 180],
  [301, [], 7200],
  [302, [], 1200],
  [303, [], 1200],
  [410, [], 180],
  [204, [], 0],
  [206, [], 0],
  [401, [], 0],
  [403, [], 0],
  [429, [], 0],
  [500, [], 0],
  [200, ["Cache-Control", "no-store"], 0],
  [200, ["cache-control", "private, max-age=60"], 0],
  [200, ["Cache-Control", "No-Cache"], 0],
  [200, ["Cache-Control", "max-age=0"], 0],
  [200, ["Cache-Control", "public, max-age=60"], 60],
  [200, ["Cache-Control", "max-age=60, s-maxage=5"], 5],
  [200, ["Set-Cookie", "a=1"], 0],
  [200, ["Expires", "Sun, 22 Nov 2026 00:01:00 GMT"], 60],
  [200, ["Expires", "0"], 0],
])("%i with %j is kept %i seconds", (status, headers, seconds) => {
  expect(lifetimeSeconds(status, headers, false, NOW)).toBe(seconds);
});

test("a response to a request with Authorization is stored only if the origin allows it", () => {
  expect(lifetimeSeconds(200, [], true, NOW)).toBe(0);
  expect(lifetimeSeconds(200, ["Cache-Control", "public, max-age=60"], true, NOW)).toBe(60);
});

test("stale entries expire, and the oldest is evicted when full", () => {
  let now = NOW;
  const cache = memoryCache(() => now);
  const answer = { status: 200, headers: [], body: Buffer.alloc(0), storedAt: now, freshUntil: now + 1000 };
  cache.put("a", answer);
  expect(cache.get("a")).toBe(answer);
  now += 1000;
  expect(cache.get("a")).toBeUndefined();
  for (let index = 0; index <= 200; index += 1) cache.put(String(index), { ...answer, freshUntil: now + 1 });
  expect(cache.get("0")).toBeUndefined();
  expect(cache.get("200")).toBeDefined();
});
