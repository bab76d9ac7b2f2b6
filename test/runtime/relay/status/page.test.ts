import { describe, expect, it } from "vitest";
import { renderPage } from "../../../../runtime/relay/status/page.ts";
import { LANGUAGES } from "../../../../runtime/relay/status/page-data.ts";
import { EVIL, statusDataWith } from "./sample.ts";

const options = {
  language: "en",
  theme: "auto",
  person: { name: "kim@example.com", isOperator: false },
  hasProgram: true,
} as const;

describe.each(LANGUAGES)("the page in %s", (language) => {
  const html = renderPage(
    statusDataWith({
      hostname: EVIL,
      startedAt: "2026-11-27T02:59:00Z",
      model: {
        reachable: false,
        reason: EVIL,
        checkedAt: EVIL,
        kind: EVIL,
        embeddingModel: EVIL,
        circuit: "closed",
      },
      documents: { store: "atlas", available: false, reason: EVIL, since: EVIL },
      direct: [{ server: EVIL, port: 1, connected: false, reason: EVIL }],
      tally: {
        ...statusDataWith().tally,
        byCaller: { [EVIL]: { requests: 1, lastColo: EVIL, lastAt: EVIL } },
      },
    }),
    { ...options, language, person: { name: EVIL, isOperator: true } },
  );

  it("has no value as HTML, and no script or style of its own", () => {
    expect(html).not.toContain("<img");
    expect(html.match(/<script[^>]*>/g)).toEqual(['<script src="/status/app.js" defer>']);
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=(?!alert)/);
    expect(html).toContain("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;");
  });

  it("says the language, and who reads", () => {
    expect(html).toContain(`<html lang="${language}" data-theme="auto">`);
    expect(html).toContain('data-operator="true"');
  });
});

it("says at a glance whether it works, also without its program", () => {
  const working = renderPage(statusDataWith(), options);
  expect(working).toContain('<section class="hero hero-good"><p class="headline">Working</p>');
  expect(working).toContain("for 1 day 1 hr");
  expect(working).toContain("<noscript>");
  const down = statusDataWith({
    model: { ...statusDataWith().model, reachable: false, reason: "connect ECONNREFUSED" } as never,
  });
  expect(renderPage(down, options)).toContain("hero hero-bad");
  expect(renderPage(down, { ...options, language: "ko" })).toContain("모델 서버가 응답하지 않습니다");
  expect(renderPage(statusDataWith({ draining: true }), options)).toContain("Shutting down");
  const bare = renderPage(statusDataWith(), { ...options, hasProgram: false });
  expect(bare).not.toContain("<script");
  expect(bare).not.toContain("<noscript>");
  expect(bare).toContain("/status/data.json");
});
