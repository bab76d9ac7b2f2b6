/** The charts: drawn by uPlot into elements that the rest of the page leaves alone. */
import uPlot from "uplot";

/** One line or stack of bars. */
export interface Series {
  readonly name: string;
  /** Custom property with its colour. */
  readonly color: string;
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly id: string;
  readonly kind: "bars" | "line";
  /** Starts of the steps, in ms since 1970. */
  readonly times: readonly number[];
  /** Bars are stacked, the first at the bottom. */
  readonly series: readonly Series[];
  readonly formatTime: (at: number) => string;
  /** Times that can have a tick, from the most to the fewest. */
  readonly ticks: readonly (readonly number[])[];
  readonly formatValue: (value: number) => string;
  /** Shows what is pointed at; undefined: nothing is. */
  readonly onPoint: (index: number | undefined) => void;
  /** Changes whenever the chart must be made again: language, colours. */
  readonly look: string;
}

interface Drawn {
  readonly plot: uPlot;
  readonly look: string;
  readonly element: Element;
  readonly observer: ResizeObserver;
  data: string;
  chart: Chart;
}

const HEIGHT = 150;
/** Room for the text of a tick, in pixels. */
const TICK_WIDTH = 72;
/** Counts have whole numbers at their axis. */
const COUNTS = Array.from({ length: 13 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
const drawn = new Map<string, Drawn>();

/** Draws the charts, or brings them up to date. Each goes into the element with the id `chart-<id>`. */
export function drawCharts(charts: readonly Chart[]): void {
  const wanted = new Set(charts.map(({ id }) => id));
  for (const [id, one] of drawn) if (!wanted.has(id)) forget(id, one);
  for (const chart of charts) {
    const element = document.getElementById(`chart-${chart.id}`);
    if (element === null) continue;
    const before = drawn.get(chart.id);
    const data = JSON.stringify([chart.times, chart.series.map(({ values }) => values)]);
    if (before !== undefined && before.look === chart.look && before.element === element) {
      before.chart = chart;
      if (before.data !== data) before.plot.setData(dataOf(chart));
      before.data = data;
    } else {
      if (before !== undefined) forget(chart.id, before);
      drawn.set(chart.id, draw(chart, element, data));
    }
  }
}

function forget(id: string, { plot, observer }: Drawn): void {
  observer.disconnect();
  plot.destroy();
  drawn.delete(id);
}

function draw(chart: Chart, element: Element, data: string): Drawn {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => colorOf(name, element);
  const axis = {
    stroke: color("--muted"),
    grid: { stroke: color("--grid"), width: 1 },
    ticks: { stroke: color("--grid"), width: 1, size: 4 },
    font: `12px ${style.fontFamily}`,
  };
  const current = () => drawn.get(chart.id)?.chart ?? chart;
  const plot = new uPlot(
    {
      width: Math.max(200, element.clientWidth),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: chart.kind === "line" }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: () => rangeOf(current()) },
        y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.08 : 1] },
      },
      axes: [
        {
          ...axis,
          size: 30,
          splits: (plot) => ticksOf(current(), plot.width),
          values: (_plot, splits) => splits.map((at) => current().formatTime(at)),
          grid: { show: false },
        },
        {
          ...axis,
          ...(chart.kind === "bars" && { incrs: COUNTS }),
          size: 56,
          space: 36,
          values: (_plot, splits) => splits.map((value) => current().formatValue(value)),
        },
      ],
      series: [{}, ...stackOrder(chart).map((one) => seriesOf(chart, color(one.color)))],
      hooks: { setCursor: [({ cursor }) => current().onPoint(cursor.idx ?? undefined)] },
    },
    dataOf(chart),
    element as HTMLElement,
  );
  const observer = new ResizeObserver(() => {
    const width = Math.max(200, element.clientWidth);
    if (width !== plot.width) plot.setSize({ width, height: HEIGHT });
  });
  observer.observe(element);
  return { plot, look: chart.look, element, observer, data, chart };
}

/** The colour of a custom property as it is in force: what the property says may depend on the theme. */
function colorOf(name: string, within: Element): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  within.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function seriesOf({ kind }: Chart, stroke: string): uPlot.Series {
  if (kind === "line") return { stroke, width: 2, spanGaps: false, points: { show: true, size: 5, fill: stroke } };
  const bars = uPlot.paths.bars?.({ size: [0.72, 48], align: 0 });
  return { stroke, fill: stroke, width: 0, points: { show: false }, ...(bars && { paths: bars }) };
}

/** The whole stack is drawn first, and what is lower over it. */
const stackOrder = ({ kind, series }: Chart): readonly Series[] => (kind === "bars" ? [...series].reverse() : series);

function dataOf({ kind, times, series }: Chart): uPlot.AlignedData {
  if (kind === "line") return [[...times], ...series.map(({ values }) => [...values])] as uPlot.AlignedData;
  const sums: number[][] = [];
  for (const { values } of series) {
    const below = sums.at(-1);
    sums.push(values.map((value, at) => (below?.[at] ?? 0) + (value ?? 0)));
  }
  return [[...times], ...sums.reverse()] as uPlot.AlignedData;
}

/** The most ticks that there is room for. */
function ticksOf({ ticks }: Chart, width: number): number[] {
  const most = Math.max(2, Math.floor(width / TICK_WIDTH));
  return [...(ticks.find((times) => times.length <= most) ?? ticks.at(-1) ?? [])];
}

/** Half a step of room on both sides, so that the first and the last bar are whole. */
function rangeOf({ times }: Chart): [number, number] {
  const [first = 0, second = first + 1] = times;
  const last = times.at(-1) ?? first + 1;
  const half = (second - first) / 2;
  return [first - half, last + half];
}
