import { describe, expect, it } from "vitest";
import {
  createUsageAnswers,
  readUsageQuery,
  type ShownSums,
  type UsageSource,
} from "../../../../runtime/relay/status/usage-answer.ts";
import { AT } from "./sample.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe("the question", () => {
  const read = (query: string) => readUsageQuery(query, AT);
  it("names a span and when the reader's day and month began", () => {
    expect(read(`?span=month&today=${AT - HOUR}&month=${AT - 27 * DAY}`)).toEqual({
      span: "month",
      today: AT - HOUR,
      month: AT - 27 * DAY,
    });
  });
  it.each([
    `?span=year&today=${AT}&month=${AT}`,
    `?span=constructor&today=${AT}&month=${AT}`,
    `?span=day&today=${AT}`,
    `?span=day&today=&month=${AT}`,
    `?span=day&today=1e12&month=${AT}`,
    `?span=day&today=-1&month=${AT}`,
    `?span=day&today=0&month=${AT}`,
    `?span=day&today=${AT - 3 * DAY}&month=${AT}`,
    `?span=day&today=${AT}&month=${AT - 40 * DAY}`,
    `?span=day&today=${AT + 2 * HOUR}&month=${AT}`,
    `?span=day&today=${AT - 1}&month=${AT}`,
    `?span=day&today=${"9".repeat(400)}&month=${AT}`,
  ])("is refused: %s", (query) => {
    expect(() => read(query)).toThrow(expect.objectContaining({ code: "status_query_invalid" }));
  });
  it("is taken from a browser whose clock is a little ahead", () => {
    expect(read(`?today=${AT + 60_000}&month=${AT + 60_000}`)).toEqual({ span: "day", today: AT, month: AT });
  });
});

const sums = (changes: Partial<ShownSums> = {}): ShownSums => ({
  calls: 0,
  errors: 0,
  refused: 0,
  tokensIn: 0,
  tokensOut: 0,
  tokensEmbedded: 0,
  embeddingCalls: 0,
  reusedInputs: 0,
  cacheHits: 0,
  sparedMs: 0,
  wait: { count: 0, p50: undefined, p95: undefined },
  ttft: { count: 0, p50: undefined, p95: undefined },
  ...changes,
});
const times = (count: number, p50: number) => ({ count, p50, p95: p50 });

class Source implements UsageSource {
  asked: { from: number; to: number; by?: readonly string[]; step?: string }[] = [];
  fails = false;
  steps: readonly (ShownSums & { start: number })[] = [];
  async series(query: Parameters<UsageSource["series"]>[0]) {
    this.asked.push(query);
    if (this.fails) throw new Error("away");
    return this.steps;
  }
  async totals(query: Parameters<UsageSource["totals"]>[0]) {
    this.asked.push(query);
    if (query.by?.[0] === "company") {
      return [
        { keys: ["a"], ...sums({ calls: 1, tokensIn: 5 }) },
        { keys: [""], ...sums({ calls: 9, tokensOut: 90 }) },
      ];
    }
    if (query.by?.[0] === "colo")
      return [
        { keys: ["NRT"], ...sums({ calls: 1 }) },
        { keys: ["ICN"], ...sums({ calls: 9 }) },
      ];
    return [{ keys: [], ...sums({ calls: 3, errors: 1, tokensIn: 2, tokensEmbedded: 4, sparedMs: 7, cacheHits: 5 }) }];
  }
}

it("groups minutes to the steps of the span; medians are weighted by their calls", async () => {
  const source = new Source();
  const at = Math.floor(AT / 900_000) * 900_000 - HOUR;
  source.steps = [
    { start: at, ...sums({ calls: 1, ttft: times(1, 100), wait: times(1, 0) }) },
    { start: at + 60_000, ...sums({ calls: 3, errors: 1, tokensOut: 6, ttft: times(3, 500), wait: times(3, 40) }) },
    { start: at + 900_000, ...sums({ calls: 2 }) },
  ];
  const answer = await createUsageAnswers(source, () => AT)({ span: "day", today: AT - HOUR, month: AT - DAY });
  expect(answer.points).toMatchObject([
    { at, calls: 4, failed: 1, tokensOut: 6, firstTokenMs: 400, waitMs: 30, timed: 4 },
    { at: at + 900_000, calls: 2, firstTokenMs: null, waitMs: null },
  ]);
  expect(answer.companies.map(({ company }) => company)).toEqual([null, "a"]);
  expect(answer.entry).toEqual([
    { colo: "ICN", requests: 9 },
    { colo: "NRT", requests: 1 },
  ]);
  expect(answer.today).toEqual({ calls: 3, failed: 1, refused: 0, tokensIn: 6, tokensOut: 0 });
  expect(answer.month.savings).toEqual({ hits: 5, calls: 0, reused: 0, sparedMs: 7 });
  expect((answer.to - answer.from) / answer.stepMs).toBeGreaterThanOrEqual(96);
});

it("many open pages cost one question; a failed one is asked again", async () => {
  const source = new Source();
  let now = AT;
  const ask = createUsageAnswers(source, () => now);
  const query = { span: "hour", today: AT, month: AT } as const;
  await Promise.all([ask(query), ask(query)]);
  await ask(query);
  expect(source.asked.filter(({ step }) => step)).toHaveLength(1);
  now += 11_000;
  await ask(query);
  expect(source.asked.filter(({ step }) => step)).toHaveLength(2);
  source.fails = true;
  const other = { ...query, span: "day" } as const;
  await expect(ask(other)).rejects.toThrow("away");
  source.fails = false;
  await expect(ask(other)).resolves.toMatchObject({ span: "day" });
});
