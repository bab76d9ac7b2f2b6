/** The comparison as a table and as a picture. Pure. */

/** What was measured, by target and measure: medians of the rounds. */
export interface Peers {
  readonly at: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly medians: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** What could not be compared, and why. */
  readonly unavailable: readonly { readonly name: string; readonly unavailable: string }[];
}

/** The origin's own CPU and memory say nothing of a gateway. */
const OF_GATEWAYS = /CPU|memory/;

export function short(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return `${(value / 1000).toFixed(1)}k`;
  return Math.abs(value) >= 10 ? value.toFixed(0) : value.toFixed(2);
}

const measured = ({ medians }: Peers, target: string, measure: string): number | undefined =>
  target === "direct" && OF_GATEWAYS.test(measure) ? undefined : medians[target]?.[measure];

function measuresOf({ medians }: Peers): string[] {
  return [...new Set(Object.values(medians).flatMap((values) => Object.keys(values)))];
}

/** A Markdown table, and who was left out. */
export function tableOf(peers: Peers): string {
  const names = Object.keys(peers.medians);
  const rows = measuresOf(peers).map((measure) => [
    measure,
    ...names.map((name) => short(measured(peers, name, measure))),
  ]);
  const lines = [["", ...names], names.map(() => "---").concat("---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  const left = peers.unavailable.map(({ name, unavailable }) => `${name} is left out: ${unavailable}`);
  return [...lines, "", `${peers.at}, medians of ${peers.rounds} rounds of ${peers.seconds} s.`, ...left].join("\n");
}

const WIDTH = 760;
const ROW = 22;
const LABEL = 150;
const escapeText = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

/** Measures of the picture, and whether more is better. */
const SHOWN = [
  ["p50 at 1 connection, ms", false],
  ["requests/CPU s at 64", true],
  ["first token p50, ms", false],
  ["memory per stream, MB", false],
  ["goodput under overload, of capacity", true],
  ["quiet callers answered, %", true],
  ["quiet callers' p50, ms", false],
  ["turned away after, p50 ms", false],
  ["wasted answers at the model, of capacity", false],
] as const;

/** @returns an SVG with a group of bars for each measure */
export function pictureOf(peers: Peers): string {
  const names = Object.keys(peers.medians);
  let y = 8;
  const parts: string[] = [];
  for (const [measure, moreIsBetter] of SHOWN) {
    const values = names.map((name) => [name, measured(peers, name, measure)] as const);
    const known = values.filter(
      (one): one is readonly [string, number] => one[1] !== undefined && Number.isFinite(one[1]),
    );
    if (known.length === 0) continue;
    const most = Math.max(...known.map(([, value]) => Math.abs(value)), 1e-9);
    parts.push(
      `<text class="t" x="0" y="${y + 14}">${escapeText(measure)} (${moreIsBetter ? "more" : "less"} is better)</text>`,
    );
    y += ROW + 2;
    for (const [name, value] of known) {
      const width = Math.max(1, (Math.max(0, value) / most) * (WIDTH - LABEL - 70));
      parts.push(
        `<text${name === "relay" ? ' class="n"' : ""} x="${LABEL - 8}" y="${y + 13}" text-anchor="end">${escapeText(name)}</text><rect class="${name === "relay" ? "r" : "o"}" x="${LABEL}" y="${y + 2}" width="${width.toFixed(1)}" height="14" rx="2"/><text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 13}">${short(value)}</text>`,
      );
      y += ROW - 2;
    }
    y += 12;
  }
  const style =
    "text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600}.n{font-weight:600}.r{fill:#0a7d5a}.o{fill:#8c98a4}.b{fill:#fff}" +
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.r{fill:#3fd19f}.o{fill:#6b7785}.b{fill:#0d1117}}";
  // A ground of its own: a page's theme need not be the one that the browser asks pictures for.
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -6 ${WIDTH + 24} ${y + 6}" role="img" aria-label="The relay beside other gateways, ${peers.at}"><style>${style}</style><rect class="b" x="-12" y="-6" width="100%" height="100%"/>${parts.join("\n")}</svg>\n`;
}
