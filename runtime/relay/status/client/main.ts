/** The page's program: keeps the page up to date with what `/status/events` and `/status/usage.json` say. */
import { createFormat } from "../format.ts";
import { message } from "../messages.ts";
import { ACTION_HEADER, cancelPath, type Language, PATHS, type Span, type UsageAnswer } from "../page-data.ts";
import { drawCharts } from "./charts.ts";
import type { Context, History, Reader, Translate } from "./context.ts";
import { askWhether, say } from "./dialog.ts";
import { listenForClicks, update } from "./dom.ts";
import { connectLive } from "./live.ts";
import { language } from "./preferences.ts";
import { page, titleOf, waitingPage } from "./view.ts";

/** Between two questions about the history. */
const USAGE_MS = 15_000;

const app = document.getElementById("app")!;
const { who = "", operator, hostname = "" } = document.body.dataset;
const reader: Reader = { who, isOperator: operator === "true" };
let history: History = { span: "day", usage: undefined, failed: false };
const formats = new Map<Language, ReturnType<typeof createFormat>>();

function formatOf(chosen: Language): ReturnType<typeof createFormat> {
  const known = formats.get(chosen) ?? createFormat(chosen);
  formats.set(chosen, known);
  return known;
}

const translate = (): Translate => {
  const chosen = language();
  return (key, values) => message(chosen, key, values);
};

function render(): void {
  const t = translate();
  const format = formatOf(language());
  const { state } = live;
  if (state === undefined) {
    if (live.connection !== "connecting") update(app, waitingPage({ t, hostname, live, format, render }));
    return;
  }
  const context: Context = {
    state,
    live,
    history,
    reader,
    language: language(),
    t,
    format,
    now: Date.now() + live.clockAhead,
    act: { chooseSpan, cancelJob: (id, caller) => void cancelJob(id, caller) },
  };
  const { nodes, charts } = page(context, render);
  document.title = titleOf(context);
  update(app, nodes);
  drawCharts(charts);
}

function chooseSpan(span: Span): void {
  history = { ...history, span };
  render();
  void askUsage();
}

/** When the reader's own day and month began. */
function beginnings(): { today: number; month: number } {
  const now = new Date();
  return {
    today: new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime(),
    month: new Date(now.getFullYear(), now.getMonth(), 1).getTime(),
  };
}

async function askUsage(): Promise<void> {
  const { span } = history;
  const { today, month } = beginnings();
  try {
    const answer = await fetch(`${PATHS.usage}?span=${span}&today=${today}&month=${month}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const usage = (await answer.json()) as UsageAnswer;
    if (history.span !== span) return; // another one was chosen meanwhile
    history = { span, usage, failed: false };
  } catch {
    if (history.span !== span) return;
    const usage = history.usage?.span === span ? history.usage : undefined;
    history = { span, usage, failed: true };
  }
  render();
}

async function cancelJob(id: string, caller: string): Promise<void> {
  const t = translate();
  const isSure = await askWhether(t("jobs.cancel.sure", { caller }), id, {
    yes: t("jobs.cancel.yes"),
    no: t("jobs.cancel.no"),
  });
  if (!isSure) return;
  try {
    const answer = await fetch(cancelPath(id), { method: "POST", headers: { [ACTION_HEADER]: "cancel" } });
    const said = (await answer.json()) as { outcome?: string; error?: { message?: string } };
    if (!answer.ok) throw new Error(said.error?.message ?? String(answer.status));
    say(t(said.outcome === "done" ? "jobs.cancel.done" : "jobs.cancel.not_needed"));
  } catch (cause) {
    say(t("jobs.cancel.failed", { reason: cause instanceof Error ? cause.message : String(cause) }));
  }
}

listenForClicks(app);
const live = connectLive(render);
setInterval(() => {
  if (document.visibilityState === "visible") void askUsage();
}, USAGE_MS);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void askUsage();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
void askUsage();
