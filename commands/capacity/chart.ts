/** A line chart as SVG text: some series over the number of requests at once, with the knee marked. Pure. */

/** One line. */
export interface Series {
  readonly name: string;
  /** A CSS class of the page, which colours it. */
  readonly className: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** A chart. */
export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly series: readonly Series[];
  /** Where the knee is, and what to write there. */
  readonly knee?: { readonly x: number; readonly label: string } | undefined;
}

const WIDTH = 480;
const HEIGHT = 270;
const LEFT = 48;
const RIGHT = 16;
const TOP = 44;
const BOTTOM = 44;

/** Round steps that cover 0 to `most` in four to eight parts. */
export function ticks(most: number): number[] {
  const raw = Math.max(most, 1e-9) / 5;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((value) => value >= raw) ?? raw;
  const count = Math.ceil(most / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(12)));
}

const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** @returns an `<svg>` whose text is readable by a screen reader */
export function chartSvg({ title, xLabel, series, knee }: Chart): string {
  const all = series.flatMap(({ points }) => points).filter(({ y }) => Number.isFinite(y));
  const xs = [...new Set(all.map(({ x }) => x))].sort((a, b) => a - b);
  const yTicks = ticks(Math.max(...all.map(({ y }) => y), 0));
  const top = yTicks.at(-1) || 1;
  // Doublings are the same distance apart.
  const [least, most] = [Math.log2(xs[0] ?? 1), Math.log2(xs.at(-1) ?? 2)];
  const x = (value: number) =>
    LEFT + ((Math.log2(value) - least) / Math.max(1e-9, most - least || 1)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const at = (value: number) => value.toFixed(1);
  const grid = yTicks.map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y(value))}" y2="${at(y(value))}"/><text class="tick" x="${LEFT - 6}" y="${at(y(value) + 4)}" text-anchor="end">${value}</text>`,
  );
  const labels: string[] = [];
  let lastX = Number.NEGATIVE_INFINITY;
  for (const value of xs) {
    if (x(value) - lastX < 18) continue; // numbers must not touch each other
    lastX = x(value);
    labels.push(`<text class="tick" x="${at(lastX)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${value}</text>`);
  }
  const lines = series.map(({ className, points }) => {
    const known = points.filter((point) => Number.isFinite(point.y)).sort((a, b) => a.x - b.x);
    const path = known.map((point) => `${at(x(point.x))},${at(y(point.y))}`).join(" ");
    const dots = known.map(
      (point) =>
        `<circle class="${className}" cx="${at(x(point.x))}" cy="${at(y(point.y))}" r="3.5"><title>${point.x}: ${point.y.toPrecision(3)}</title></circle>`,
    );
    return `<polyline class="${className}" points="${path}"/>${dots.join("")}`;
  });
  // At the right of the title; a single line is what the title says.
  let legendX = WIDTH - RIGHT;
  const legend = (series.length > 1 ? [...series].reverse() : []).map(({ name, className }) => {
    legendX -= 24 + 9 * name.length;
    return `<circle class="${className}" cx="${legendX + 5}" cy="10" r="4"/><text class="tick" x="${legendX + 13}" y="14">${escapeText(name)}</text>`;
  });
  // Its name stands above the plot, where no line runs through it, and within the picture.
  const side = knee === undefined || x(knee.x) < LEFT + 40 ? "start" : x(knee.x) > WIDTH - 60 ? "end" : "middle";
  const mark = knee
    ? `<line class="knee" x1="${at(x(knee.x))}" x2="${at(x(knee.x))}" y1="${TOP - 4}" y2="${HEIGHT - BOTTOM}"/><text class="knee" x="${at(x(knee.x))}" y="${TOP - 9}" text-anchor="${side}">${escapeText(knee.label)}</text>`
    : "";
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(title)}"><text class="title" x="0" y="14">${escapeText(title)}</text>${legend.join("")}${grid.join("")}${labels.join("")}<text class="tick" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(xLabel)}</text>${lines.join("")}${mark}</svg>`;
}
