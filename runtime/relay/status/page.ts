/**
 * The page for people at /status, as the server sends it: what it says at a glance, and a table for readers without its
 * program, which replaces both (`client/`). Pure.
 */
import { createFormat, type Format } from "./format.ts";
import { type MessageKey, message } from "./messages.ts";
import { type Language, PATHS, type Theme } from "./page-data.ts";
import type { StatusData } from "./status.ts";

export interface PageOptions {
  readonly language: Language;
  readonly theme: Theme;
  /** Who has signed in. */
  readonly person: { readonly name: string; readonly isOperator: boolean };
  /** Whether the page's program can be loaded. */
  readonly hasProgram: boolean;
}

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%231f6f54'/%3E%3Cpath d='M3 9h2l1.5-4 3 7L11 8h2' fill='none' stroke='white' stroke-width='1.5'/%3E%3C/svg%3E";

/** Renders the page. All values are escaped; there is no script or style in it. */
export function renderPage(data: StatusData, options: PageOptions): string {
  const { language, theme, person, hasProgram } = options;
  const t = (key: MessageKey, values?: Record<string, string | number>) => escapeHtml(message(language, key, values));
  const state = data.draining ? "draining" : data.model.reachable ? "up" : "model_down";
  const title = `${t(`title.${state}`)} · ${escapeHtml(data.hostname)}`;
  const format = createFormat(language);
  const facts = `<div class="facts">${factsOf(data, language, format)}<p>${t("live.no_program")} <a href="${PATHS.data}">${t("footer.json")}</a></p></div>`;
  const attributes = {
    "data-hostname": data.hostname,
    "data-who": person.name,
    "data-operator": String(person.isOperator),
  };
  const program = hasProgram ? `<script src="${PATHS.script}" defer></script>` : "";
  return `<!doctype html>
<html lang="${language}" data-theme="${theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${title}</title><link rel="icon" href="${ICON}"><link rel="stylesheet" href="${PATHS.style}">
${program}</head>
<body ${Object.entries(attributes)
    .map(([name, value]) => `${name}="${escapeHtml(value)}"`)
    .join(" ")}>
<div id="app"><main>
<h1>${escapeHtml(data.hostname)}</h1>
<section class="hero hero-${state === "up" ? "good" : "bad"}"><p class="headline">${t(`title.${state}`)}</p>
<p>${t("hero.since", sinceOf(data, format))}</p></section>
${hasProgram ? `<noscript>${facts}</noscript>` : facts}
</main></div>
</body></html>
`;
}

function sinceOf({ startedAt, uptimeSeconds }: StatusData, format: Format): { when: string; duration: string } {
  return { when: format.full(Date.parse(startedAt)), duration: format.duration(uptimeSeconds * 1000) };
}

/** What somebody without the page's program gets to see. */
function factsOf(data: StatusData, language: Language, format: Format): string {
  const { model, tally, documents, direct = [], outages = [] } = data;
  const t = (key: MessageKey, values?: Record<string, string | number>) => message(language, key, values);
  const rows: [string, string | number][] = [
    [
      t("hero.model", { models: "" }),
      model.reachable
        ? model.models.join(", ")
        : `${t("warning.model_down")} ${t("warning.reason", { reason: model.reason })}`,
    ],
    [t("hero.embedding", { model: "" }), model.embeddingModel],
    ...Object.entries(data.lanes).map(([queue, lane]): [string, string] => [
      `${t("now.running")}: ${t(`queue.${queue as "chat" | "embeddings"}`)}`,
      `${lane.running} ${t("now.running.of", { slots: lane.slots })}; ${t("now.waiting")}: ${lane.waiting}`,
    ]),
    ...(documents
      ? [
          [
            t("documents.heading"),
            documents.available
              ? `${t(`documents.store.${documents.store}`)}: ${t("documents.available")}`
              : `${t("warning.store_unavailable")} ${t("warning.reason", { reason: documents.reason })}`,
          ] as [string, string],
        ]
      : []),
    ...direct.map(({ server, connected, reason = "" }): [string, string] => [
      `${t("lines.heading")}: ${server}`,
      connected ? t("lines.connected") : t("lines.not_connected", { reason }),
    ]),
    ...outages
      .slice(0, 5)
      .map(({ from, seconds, what }): [string, string] => [
        `${t("outages.heading")}: ${format.full(Date.parse(from))}`,
        `${format.duration(seconds * 1000)}: ${t(`outages.${what}`)}`,
      ]),
    ...Object.entries(tally.byCaller).map(([caller, seen]): [string, string] => [
      `${t("callers.caller")}: ${caller}`,
      `${t("history.calls")}: ${format.count(seen.requests)} (${seen.lastColo})`,
    ]),
  ];
  const lines = rows.map(
    ([name, value]) => `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`,
  );
  return `<table>${lines.join("")}</table>`;
}

/** Escapes a value for HTML text and quoted attributes. */
export function escapeHtml(value: string | number): string {
  const marks: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(value).replace(/[&<>"']/g, (mark) => marks[mark] ?? mark);
}
