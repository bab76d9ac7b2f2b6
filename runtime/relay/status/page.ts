/** The page for people at /status: self-contained HTML without scripts. Pure. */
import type { AdaptiveStep } from "../admission/adaptive.ts";
import type { StatusData } from "./status.ts";

/** Renders the page. All values are escaped. The browser reloads it every 10 s. */
export function renderStatus(data: StatusData): string {
  const { model, tally } = data;
  const good = model.reachable && !data.draining;
  const headline = data.draining
    ? "Shutting down"
    : model.reachable
      ? "Working"
      : "The model server on the Mac does not answer";
  const facts = table([
    ["Up for", duration(data.uptimeSeconds)],
    ["Model server", model.reachable ? "answers" : `does not answer: ${model.reason}`],
    ["Models", model.reachable ? model.models.join(", ") || "none" : "not known"],
    ["Model for embeddings", model.embeddingModel],
    ...documentFacts(data.documents),
    ...lineFacts(data.direct),
    ["Requests running", tally.inFlight],
    ...Object.entries(data.lanes).map(([lane, { running, slots, waiting, waitingBackground }]): [string, string] => [
      `Slots for ${lane}`,
      `${running} of ${slots} taken, ${waiting} waiting, ${waitingBackground} jobs waiting`,
    ]),
    ["Requests ended", tally.requests],
    ["Clients that disconnected early", tally.clientAborts],
    ["Requests that the model server failed", tally.upstreamErrors],
  ]);
  const statuses = table(Object.entries(tally.byStatus));
  const callers = Object.entries(tally.byCaller)
    .map(([name, seen]) => row([name, seen.requests, seen.lastColo, seen.lastAt], "td"))
    .join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="10"><title>${escapeHtml(data.hostname)}: ${escapeHtml(headline)}</title>
<style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem}
.state{font-size:1.3rem;border-left:.5rem solid ${good ? "#2a7" : "#c33"};padding-left:.75rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top;font-weight:normal;overflow-wrap:anywhere}
tr{border-bottom:1px solid #8884}th{opacity:.75}
</style></head><body>
<h1>${escapeHtml(data.hostname)}</h1>
<p class="state">${escapeHtml(headline)}</p>
${facts}
<h2>Answers by status</h2>
${statuses}
<h2>Callers</h2>
<table>${row(["Name", "Requests", "Last location", "Last seen"], "th")}${callers}</table>
${adaptiveOf(data.adaptiveChat)}
${outagesOf(data.outages)}
<p>Counted since ${escapeHtml(data.startedAt)}. <a href="/status/data.json">As JSON</a></p>
</body></html>
`;
}

const REASONS: Readonly<Record<AdaptiveStep["reason"], string>> = {
  start: "begun",
  bounds: "the limits were changed",
  try_more: "trying more",
  more_pays: "more pays",
  more_does_not_pay: "more does not pay",
  try_fewer: "trying fewer",
  fewer_suffice: "fewer suffice",
  fewer_cost: "fewer cost throughput",
  first_token_late: "the first tokens came late",
};

/** Changes of the number of slots that are on the page. */
const CHANGES_SHOWN = 8;

function adaptiveOf(adaptive: StatusData["adaptiveChat"]): string {
  if (adaptive === undefined) return "";
  const rate = (value: number | undefined) => (value === undefined ? "" : value.toFixed(1));
  const lines = adaptive.history.slice(0, CHANGES_SHOWN).map(({ at, from, to, reason, tokensPerSecond }) => {
    const change = from === to ? String(to) : `${from} → ${to}`;
    const { before, after } = tokensPerSecond;
    return row([new Date(at).toISOString(), change, REASONS[reason], rate(before), rate(after)], "td");
  });
  const head = row(["When", "Slots for chat", "Why", "Tokens/s before", "and then"], "th");
  return `<h2>Slots for chat: ${adaptive.slots}, found by itself from ${adaptive.min} to ${adaptive.max}</h2>\n<table>${head}${lines.join("")}</table>`;
}

/** The JSON has all recorded outages. */
const MAX_OUTAGES_SHOWN = 5;

function outagesOf(outages: StatusData["outages"] = []): string {
  if (outages.length === 0) return "";
  const lines = outages.slice(0, MAX_OUTAGES_SHOWN).map((outage) => {
    const { from, to, what, seconds, requestsCut, jobsRunAgain, jobsFailed } = outage;
    const cause = what === "machine" ? "the Mac lost power or was reset" : "the relay ended by itself";
    const failed = jobsFailed.length > 0 ? `, ${jobsFailed.length} failed` : "";
    return row(
      [from, to, duration(Math.round(seconds)), cause, requestsCut, `${jobsRunAgain.length} run again${failed}`],
      "td",
    );
  });
  const head = row(["Last seen", "Back", "Duration", "What happened", "Requests lost", "Jobs"], "th");
  return `<h2>Outages</h2>\n<table>${head}${lines.join("")}</table>`;
}

function documentFacts(documents: StatusData["documents"]): [string, string][] {
  if (documents === undefined) return [];
  const store = documents.store === "atlas" ? "MongoDB" : "on this Mac";
  const state = documents.available
    ? `${store}, answers`
    : `${store}, does not answer since ${documents.since}: ${documents.reason}. Requests go on without stored documents`;
  return [["Document store", state]];
}

function lineFacts(lines: StatusData["direct"] = []): [string, string][] {
  return lines.map(({ server, connected, since, reason }) => [
    `Direct line of ${server}`,
    connected
      ? `connected${since === undefined ? "" : `, last event ${since}`}`
      : `not connected: ${reason ?? "unknown"}`,
  ]);
}

/** Escapes a value for HTML text and quoted attributes. */
export function escapeHtml(value: string | number): string {
  const marks: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(value).replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}

type Cell = string | number;

function row(cells: readonly Cell[], tag: "td" | "th"): string {
  return `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
}

function table(rows: readonly (readonly [string, Cell])[]): string {
  const lines = rows.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`);
  return `<table>${lines.join("")}</table>`;
}

function duration(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min` : `${seconds} s`;
}
