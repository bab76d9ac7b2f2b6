/** The last hour, day or month: four charts, each with its numbers in words and as a table. */
import { type Step, stepsOf } from "../history-points.ts";
import type { MessageKey } from "../messages.ts";
import { SPANS, type Span } from "../page-data.ts";
import type { Chart, Series } from "./charts.ts";
import type { Context } from "./context.ts";
import { h, update } from "./dom.ts";
import { note, section, table } from "./parts.ts";
import { isDark } from "./preferences.ts";

/** What a chart shows. */
interface Plan {
  readonly id: string;
  readonly title: MessageKey;
  readonly kind: Chart["kind"];
  readonly series: readonly {
    readonly name: MessageKey;
    readonly color: string;
    readonly of: (step: Step) => number | null;
  }[];
}

const PLANS: readonly Plan[] = [
  {
    id: "calls",
    title: "history.calls",
    kind: "bars",
    series: [
      { name: "history.series.ok", color: "--series-1", of: (step) => step.calls - step.failed - step.refused },
      { name: "history.series.failed", color: "--series-bad", of: (step) => step.failed + step.refused },
    ],
  },
  {
    id: "tokens",
    title: "history.tokens",
    kind: "bars",
    series: [
      { name: "history.series.out", color: "--series-1", of: (step) => step.tokensOut },
      { name: "history.series.in", color: "--series-2", of: (step) => step.tokensIn },
    ],
  },
  {
    id: "first",
    title: "history.first",
    kind: "line",
    series: [{ name: "history.series.median", color: "--series-1", of: (step) => step.firstTokenMs }],
  },
  {
    id: "wait",
    title: "history.wait",
    kind: "line",
    series: [{ name: "history.series.median", color: "--series-3", of: (step) => step.waitMs }],
  },
];

const STEP_NAMES = {
  hour: "history.per_minute",
  day: "history.per_quarter",
  month: "history.per_day",
} as const satisfies Record<string, MessageKey>;

/** The section, and the charts to draw once it is in the page. */
export function history(context: Context): { readonly element: HTMLElement; readonly charts: readonly Chart[] } {
  const { t, format, history: shown, act } = context;
  const { span, usage, failed } = shown;
  const steps = usage === undefined ? [] : stepsOf(usage, format);
  const hasCalls = steps.some(({ calls }) => calls > 0);
  const switcher = h(
    "div",
    { class: "choice", role: "group", "aria-label": t("history.span") },
    ...SPANS.map((one) =>
      h(
        "button",
        { type: "button", key: one, "aria-pressed": String(one === span), onclick: () => act.chooseSpan(one) },
        t(`history.${one}`),
      ),
    ),
  );
  const figures = hasCalls ? PLANS.map((plan) => figure(plan, steps, context)) : [];
  const element = section(
    "history",
    t("history.heading"),
    switcher,
    failed ? note(t("history.unavailable")) : null,
    usage !== undefined && !hasCalls && !failed ? note(t("history.none")) : null,
    hasCalls ? h("div", { class: "charts" }, ...figures.map((one) => one.element)) : null,
  );
  return { element, charts: figures.map((one) => one.chart) };
}

function figure(plan: Plan, steps: readonly Step[], context: Context): { element: HTMLElement; chart: Chart } {
  const {
    t,
    format,
    history: { span },
    language,
  } = context;
  const value = plan.kind === "line" ? (one: number) => format.time(one) : (one: number) => format.compact(one);
  const time = span === "month" ? format.day : format.clock;
  const series = plan.series.map(({ name, color, of }): Series => ({ name: t(name), color, values: steps.map(of) }));
  const readout = (index: number | undefined) => {
    const element = document.getElementById(`readout-${plan.id}`);
    const step = index === undefined ? undefined : steps[index];
    if (element === null) return;
    const parts = series.flatMap(({ name, values }) => {
      const at = index === undefined ? null : (values[index] ?? null);
      return at === null ? [] : [`${name} ${value(at)}`];
    });
    update(element, [step === undefined ? "\u00a0" : [time(step.at), ...parts].join(" · ")]);
  };
  const title = t(plan.title);
  const columns = [{ name: t("history.time") }, ...series.map(({ name }) => ({ name, isNumber: true }))];
  const rows = steps.flatMap((step, at) =>
    step.calls === 0
      ? []
      : [
          {
            key: String(step.at),
            cells: [time(step.at), ...series.map(({ values }) => (values[at] === null ? "–" : value(values[at]!)))],
          },
        ],
  );
  const element = h(
    "figure",
    { key: plan.id },
    h(
      "figcaption",
      {},
      h("h3", {}, title, " ", h("span", { class: "step" }, t(STEP_NAMES[span]))),
      h("p", { class: "note" }, summary(plan, steps, series, context)),
    ),
    plan.series.length > 1
      ? h(
          "p",
          { class: "legend", "aria-hidden": "true" },
          ...series.map(({ name, color }) => h("span", { class: `key key${color.slice(1)}` }, name)),
        )
      : null,
    // Its numbers are in the sentence above and in the table below.
    h("div", { id: `chart-${plan.id}`, class: "chart", "data-keep": "", "aria-hidden": "true" }),
    h("p", { id: `readout-${plan.id}`, class: "readout", "data-keep": "", "aria-hidden": "true" }, "\u00a0"),
    h(
      "details",
      {},
      h("summary", {}, t("history.table"), h("span", { class: "hidden" }, `: ${title}`)),
      table(`${title}: ${t("history.table")}`, columns, rows),
    ),
  );
  const chart: Chart = {
    id: plan.id,
    kind: plan.kind,
    times: steps.map(({ at }) => at),
    series,
    formatTime: time,
    ticks: ticksOf(span, steps),
    formatValue: value,
    onPoint: readout,
    look: `${language} ${isDark()} ${span}`,
  };
  return { element, chart };
}

/** Where ticks can stand: at round minutes, hours and days of the reader. */
function ticksOf(span: Span, steps: readonly Step[]): number[][] {
  const times = steps.map(({ at }) => at);
  const every = (count: number, of: (date: Date) => number) => times.filter((at) => of(new Date(at)) % count === 0);
  if (span === "hour") return [5, 10, 15, 30].map((minutes) => every(minutes, (date) => date.getMinutes()));
  if (span === "month")
    return [1, 2, 5, 10].map((days) => times.filter((_, at) => (times.length - 1 - at) % days === 0));
  return [1, 2, 3, 4, 6, 12].map((hours) => every(hours * 60, (date) => date.getHours() * 60 + date.getMinutes()));
}

/** The chart in a sentence. */
function summary(
  plan: Plan,
  steps: readonly Step[],
  series: readonly Series[],
  { t, format, history: { span } }: Context,
): string {
  const totals = steps.map((_, at) => {
    const values = series.flatMap((one) => one.values[at] ?? []);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0);
  });
  let most = -1;
  for (const [at, total] of totals.entries()) if (total !== null && (most < 0 || total > totals[most]!)) most = at;
  if (most < 0) return t("history.none");
  const when = span === "month" ? format.day(steps[most]!.at) : format.clock(steps[most]!.at);
  if (plan.kind === "bars") {
    const total = totals.reduce<number>((sum, one) => sum + (one ?? 0), 0);
    return t("history.summary.sum", { total: format.compact(total), most: format.compact(totals[most]!), when });
  }
  const sorted = totals.filter((one) => one !== null).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)]!;
  return t("history.summary.time", { median: format.time(median), most: format.time(totals[most]!), when });
}
