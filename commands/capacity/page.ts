/** The report as one self-contained HTML page: no script, nothing loaded from elsewhere. Pure. */

import type { Language } from "../language.ts";
import { chartSvg } from "./chart.ts";
import { adviceLines, notes } from "./findings.ts";
import type { Capacity, Part } from "./measure.ts";
import type { Options } from "./options.ts";
import { heads, rows, titleOf } from "./report.ts";
import { sentence } from "./sentence.ts";

const style = `
:root{color-scheme:light dark;--throughput:#0a7d5a;--first:#1f6feb;--second:#b35900;--knee:#c2255c}
@media (prefers-color-scheme:dark){:root{--throughput:#3fd19f;--first:#79b8ff;--second:#ffb86b;--knee:#ff7aa8}}
body{font:16px/1.5 system-ui,"Apple SD Gothic Neo","Noto Sans KR",sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.2rem}.said{font-size:1.1rem}.answer{font-size:1.35rem;border-left:.4rem solid var(--throughput);padding-left:.8rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem}
figure{margin:0}svg{width:100%;height:auto}svg text{font:14px system-ui,"Apple SD Gothic Neo","Noto Sans KR",sans-serif;fill:currentColor}svg .title{font-weight:600}
.grid{stroke:currentColor;opacity:.15}.tick{opacity:.75}
polyline{fill:none;stroke-width:2}polyline.throughput{stroke:var(--throughput)}polyline.first{stroke:var(--first)}polyline.second{stroke:var(--second)}
circle.throughput{fill:var(--throughput)}circle.first{fill:var(--first)}circle.second{fill:var(--second)}
line.knee{stroke:var(--knee);stroke-dasharray:5 4;stroke-width:1.5}svg text.knee{fill:var(--knee);font-weight:600}
.table{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:.25rem .8rem;white-space:nowrap}td:last-child{text-align:left}
tr{border-bottom:1px solid #8884}tr.knee{font-weight:600}tr.knee td:first-child{box-shadow:inset .25rem 0 var(--knee)}th{opacity:.75;font-weight:normal}
li.warn::marker{content:"⚠ "}footer{opacity:.7;margin-top:2rem}`;

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const words = {
  ko: {
    title: "이 Mac은 얼마나 감당하는가",
    all: "전체 출력 토큰/초",
    first: "첫 글자까지(초)",
    x: "동시 요청 수",
    knee: "최적",
    advice: "무엇을 설정할까",
    notes: "알게 된 것",
    tokens: "토큰/초",
    lasted: (seconds: number, tokens: string) => `${seconds}초 동안, 출력 ${tokens}토큰`,
  },
  en: {
    title: "How much this Mac can take",
    all: "Tokens per second, all answers",
    first: "First token after, s",
    x: "requests at once",
    knee: "knee",
    advice: "What to set",
    notes: "What else was found",
    tokens: "tokens/s",
    lasted: (seconds: number, tokens: string) => `${seconds} s, ${tokens} output tokens`,
  },
} as const;

function charts(part: Part, language: Language): string {
  const say = words[language];
  const { levels, knee } = part.sweep;
  const mark = knee && { x: knee.atOnce, label: `${say.knee}: ${knee.atOnce}` };
  const points = (y: (level: (typeof levels)[number]) => number) =>
    levels.map((level) => ({ x: level.atOnce, y: y(level) }));
  const throughput = chartSvg({
    title: say.all,
    xLabel: say.x,
    series: [{ name: say.tokens, className: "throughput", points: points(({ tokensPerSecond }) => tokensPerSecond) }],
    knee: mark,
  });
  const first = chartSvg({
    title: say.first,
    xLabel: say.x,
    series: [
      { name: "p50", className: "first", points: points(({ ttft }) => ttft.p50 / 1000) },
      { name: "p90", className: "second", points: points(({ ttft }) => ttft.p90 / 1000) },
    ],
    knee: mark,
  });
  return `<div class="charts"><figure>${throughput}</figure><figure>${first}</figure></div>`;
}

function table(part: Part, language: Language): string {
  const head = heads(language).map((name) => `<th scope="col">${escapeHtml(name)}</th>`);
  const body = rows(part, language).map(
    ({ mark, cells }) =>
      `<tr${mark === "◀" ? ' class="knee"' : ""}>${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}<td>${mark === "◀" ? words[language].knee : escapeHtml(mark)}</td></tr>`,
  );
  return `<div class="table"><table><tr>${head.join("")}<th></th></tr>${body.join("")}</table></div>`;
}

/** @returns the page */
export function page(
  capacity: Capacity,
  { language, currency, questionsPerHour }: Pick<Options, "language" | "currency" | "questionsPerHour">,
): string {
  const say = words[language];
  const { target, parts, deciding } = capacity;
  const sections = parts.map(
    (part) =>
      `<section><h2>${escapeHtml(titleOf(part, capacity, language))}</h2>${parts.length > 1 ? `<p class="said">${escapeHtml(sentence(part.sweep, language))}</p>` : ""}${charts(part, language)}${table(part, language)}</section>`,
  );
  const advice = deciding ? adviceLines(deciding, currency, questionsPerHour, language) : [];
  const said = notes(capacity, language);
  return `<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(say.title)}</title>
<style>${style}</style></head><body>
<h1>${escapeHtml(say.title)}</h1>
<p>${escapeHtml(`${target.server}, ${target.model}, ${target.url}`)}</p>
<p class="answer">${escapeHtml(sentence((deciding ?? parts[0])?.sweep, language))}</p>
<h2>${escapeHtml(say.advice)}</h2><ul>${advice.map((line) => `<li>${escapeHtml(line)}</li>`).join("")}</ul>
${sections.join("\n")}
<h2>${escapeHtml(say.notes)}</h2><ul>${said.map(({ level, text }) => `<li class="${level}">${escapeHtml(text)}</li>`).join("")}</ul>
<footer>${escapeHtml(`${capacity.at.slice(0, 16).replace("T", " ")} UTC · ${say.lasted(capacity.seconds, capacity.outputTokens.toLocaleString("en-US"))}`)}</footer>
</body></html>
`;
}
