/** What `npm run alerts` prints of what the relay shows. */
import { describe, expect, it } from "vitest";
import { detailsSchema, render, renderTest } from "../../../commands/alerts/report.ts";

const details = {
  hostname: "slm.example.com",
  alerts: {
    active: [{ kind: "disk", subject: "data", since: "2026-11-28T00:00:00.000Z", detail: { percent: 91 } }],
    webhooks: [
      {
        host: "hooks.example.com",
        format: "standard",
        pending: 1,
        last: [
          { id: "msg_1", type: "disk", at: "2026-11-28T00:00:01.000Z", isDelivered: true, status: 204 },
          {
            id: "msg_0",
            type: "quota",
            at: "2026-11-27T00:00:01.000Z",
            isDelivered: false,
            status: 403,
            reason: "answered 403",
          },
        ],
      },
      { host: "hooks.slack.com", format: "slack", pending: 0, last: [] },
    ],
  },
};
const { alerts } = detailsSchema.parse(details);

describe("npm run alerts", () => {
  it("shows what is an alert, and how the last messages went", () => {
    expect(render(alerts!, "en")).toBe(`! disk nearly full (data) since 2026-11-28T00:00:00.000Z

hooks.example.com (standard): 1 waiting to be delivered
  2026-11-28T00:00:01.000Z  disk  delivered (204)
  2026-11-27T00:00:01.000Z  quota  not delivered: answered 403
hooks.slack.com (slack)
  nothing sent yet`);
    expect(render({ active: [], webhooks: [] }, "en")).toContain("No alert at the moment.");
  });

  it("does so in Korean", () => {
    const text = render(alerts!, "ko");
    expect(text).toContain("! 디스크 부족 (data) 2026-11-28T00:00:00.000Z부터");
    expect(text).toContain("전달 대기 1건");
    expect(render({ active: [], webhooks: [] }, "ko")).toContain("지금은 알림이 없습니다.");
  });

  it("says how the test of each webhook went", () => {
    const results = [
      { host: "a.example.com", format: "standard", isDelivered: true, status: 204 },
      { host: "b.example.com", format: "slack", isDelivered: false, reason: "ECONNREFUSED" },
    ];
    expect(renderTest(results, "en")).toBe(
      "a.example.com (standard)  delivered (204)\nb.example.com (slack)  not delivered: ECONNREFUSED",
    );
  });

  it("knows a relay without webhooks", () => {
    expect(detailsSchema.parse({ hostname: "x" }).alerts).toBeUndefined();
  });
});
