/** The first screen: is it up and since when, how fast, who waits, how many today; and what needs attention. */
import type { MessageKey } from "../messages.ts";
import type { QueuePart, Warning } from "../page-data.ts";
import type { Context } from "./context.ts";
import { type Child, h } from "./dom.ts";
import { timed } from "./parts.ts";

/** What the headline says. */
export function headline({ state: { relay, model } }: Pick<Context, "state">): "up" | "model_down" | "draining" {
  if (relay.draining) return "draining";
  return model.reachable ? "up" : "model_down";
}

export function hero(context: Context): HTMLElement {
  const { state, t, format, now } = context;
  const { relay, model } = state;
  const what = headline(context);
  const since = model.since ?? (what === "model_down" ? undefined : relay.startedAt);
  const models = model.models.length > 0 ? t("hero.model", { models: model.models.join(", ") }) : t("hero.no_model");
  return h(
    "section",
    { key: "hero", class: `hero hero-${what === "up" ? "good" : "bad"}` },
    h(
      "div",
      { class: "hero-text" },
      // Its own words are read out when they change.
      h("p", { class: "headline", role: "status" }, t(`title.${what}`)),
      since === undefined
        ? null
        : h(
            "p",
            { class: "since" },
            timed(
              context,
              since,
              t("hero.since", { when: format.moment(since, now), duration: format.duration(now - since) }),
            ),
          ),
    ),
    model.reachable
      ? h(
          "p",
          { class: "models" },
          h("span", {}, models),
          h("span", {}, t("hero.embedding", { model: model.embeddingModel })),
        )
      : null,
  );
}

/** A number that can be read from across the room, and what it means. */
function card(key: string, name: string, value: Child, unit: string, lines: readonly Child[], tone = ""): HTMLElement {
  return h(
    "li",
    { key, class: `card ${tone}` },
    h("h3", {}, name),
    h("p", { class: "value" }, h("span", { class: "figure" }, value), " ", h("span", { class: "unit" }, unit)),
    ...lines.filter(Boolean).map((line) => h("p", { class: "line" }, line)),
  );
}

export function cards(context: Context): HTMLElement {
  const { t } = context;
  return h(
    "section",
    { key: "now", "aria-labelledby": "now-heading" },
    h("h2", { id: "now-heading", class: "hidden" }, t("now.heading")),
    h("ul", { class: "cards" }, speedCard(context), waitingCard(context), runningCard(context), todayCard(context)),
  );
}

function speedCard({ state: { speed }, t, format }: Context): HTMLElement {
  const lines = [
    speed.tokensPerSecond < 0.05 && t("now.speed.idle"),
    speed.perAnswer !== null && t("now.speed.per_answer", { rate: format.rate(speed.perAnswer) }),
    speed.firstTokenMs !== null && t("now.speed.first", { time: format.time(speed.firstTokenMs) }),
  ];
  return card("speed", t("now.speed"), format.rate(speed.tokensPerSecond), t("now.speed.unit"), lines);
}

const sum = (queues: readonly QueuePart[], field: "waiting" | "jobsWaiting"): number =>
  queues.reduce((total, queue) => total + queue[field], 0);

function waitingCard({ state: { queues }, t, format }: Context): HTMLElement {
  const waiting = sum(queues, "waiting");
  const jobs = sum(queues, "jobsWaiting");
  const longest = Math.max(...queues.map(({ longestWaitMs }) => longestWaitMs ?? 0));
  const expected = queues.find(({ name }) => name === "chat")?.expectedWaitMs ?? null;
  const lines = [
    waiting === 0 && t("now.waiting.none"),
    waiting > 0 && t("now.waiting.longest", { time: format.time(longest) }),
    expected !== null && expected > 0 && t("now.waiting.expected", { time: format.time(expected) }),
    jobs > 0 && t("now.waiting.jobs", { count: format.count(jobs) }),
  ];
  const unit = t(waiting === 1 ? "now.waiting.unit.one" : "now.waiting.unit");
  return card("waiting", t("now.waiting"), format.count(waiting), unit, lines, waiting > 0 ? "card-busy" : "");
}

function runningCard({ state: { queues, adaptive }, t, format }: Context): HTMLElement {
  const chat = queues.find(({ name }) => name === "chat");
  const embeddings = queues.find(({ name }) => name === "embeddings");
  const lines = [
    embeddings && t("now.running.embeddings", { running: embeddings.running, slots: embeddings.slots }),
    adaptive !== null && t("now.running.auto"),
  ];
  const unit = t("now.running.of", { slots: chat?.slots ?? 0 });
  return card("running", t("now.running"), format.count(chat?.running ?? 0), unit, lines);
}

function todayCard({ history: { usage, failed }, t, format }: Context): HTMLElement {
  if (usage === undefined) {
    return card("today", t("now.today"), "–", "", [failed && t("now.today.unknown")]);
  }
  const { calls, failed: errors, refused, tokensIn, tokensOut } = usage.today;
  const lines = [
    calls > 0 && t("now.today.tokens", { tokens: format.compact(tokensIn + tokensOut) }),
    errors + refused > 0
      ? t("now.today.failed", { failed: format.count(errors), refused: format.count(refused) })
      : calls > 0 && t("now.today.fine"),
  ];
  const unit = t(calls === 1 ? "now.today.unit.one" : "now.today.unit");
  return card("today", t("now.today"), format.compact(calls), unit, lines);
}

export function warnings(context: Context): HTMLElement | null {
  const { state, t } = context;
  if (state.warnings.length === 0) return null;
  return h(
    "section",
    { key: "warnings", class: "warnings", "aria-labelledby": "warnings-heading" },
    h("h2", { id: "warnings-heading" }, t("warnings.heading")),
    h(
      "ul",
      {},
      ...state.warnings.map((one) =>
        h(
          "li",
          { key: keyOf(one) },
          h("p", { class: "what" }, whatOf(one, context)),
          h("p", { class: "todo" }, todoOf(one, context)),
          "reason" in one && one.reason !== "" ? h("p", { class: "note" }, reasonOf(one, context)) : null,
        ),
      ),
    ),
  );
}

const keyOf = (one: Warning): string =>
  [one.code, "caller" in one && one.caller, "server" in one && one.server, "queue" in one && one.queue]
    .filter(Boolean)
    .join(" ");

function whatOf(one: Warning, { t, format, now }: Context): string {
  switch (one.code) {
    case "model_down":
    case "store_unavailable":
      return t(`warning.${one.code}`);
    case "disk_low":
      return t("warning.disk_low", { free: format.bytes(one.freeBytes), min: format.bytes(one.minBytes) });
    case "queue_long":
      return t("warning.queue_long", {
        queue: t(`queue.${one.queue}`),
        waiting: format.count(one.waiting),
        time: format.time(one.waitMs),
      });
    case "token_ends":
    case "token_ended":
      return t(`warning.${one.code}`, { caller: one.caller, when: format.relative(one.at, now) });
    case "line_down":
      return t("warning.line_down", { server: one.server });
    case "draining":
    case "ledger_unavailable":
    case "jobs_unavailable":
      return t(`warning.${one.code}`);
  }
}

/** What the other side said, as it is, and since when. */
function reasonOf(one: Extract<Warning, { reason: string }>, { t, format, now }: Context): string {
  const reason = t("warning.reason", { reason: one.reason });
  if (!("since" in one) || one.since === null) return reason;
  return `${reason}. ${t("warning.since", { when: format.moment(one.since, now) })}`;
}

function todoOf(one: Warning, { t }: Context): string {
  if (one.code === "token_ends" || one.code === "token_ended") return t("warning.token.do", { caller: one.caller });
  return t(`warning.${one.code}.do` satisfies MessageKey);
}

/** Who has requests that run or wait. */
export function callersAtWork({ state: { queues } }: Pick<Context, "state">) {
  const all = new Map<string, { running: number; waiting: number }>();
  for (const { callers } of queues) {
    for (const { name, running, waiting } of callers) {
      const before = all.get(name) ?? { running: 0, waiting: 0 };
      all.set(name, { running: before.running + running, waiting: before.waiting + waiting });
    }
  }
  return [...all].sort(([, a], [, b]) => b.waiting - a.waiting || b.running - a.running);
}
