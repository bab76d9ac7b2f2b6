/** How the relay has run: sections below the first screen, each with a table. */
import type { MessageKey } from "../messages.ts";
import type { TokenPart } from "../page-data.ts";
import type { Context } from "./context.ts";
import { type Child, h } from "./dom.ts";
import { day, moment, note, section, table, tableOr, timed } from "./parts.ts";

export function outages(context: Context): HTMLElement {
  const { t, format, state } = context;
  const rows = state.outages.map((one) => ({
    key: String(one.from),
    cells: [
      moment(context, one.from),
      format.duration(one.to - one.from),
      t(`outages.${one.what}`),
      format.count(one.requestsCut),
      [
        one.jobsRunAgain > 0 && t("outages.jobs.again", { count: format.count(one.jobsRunAgain) }),
        one.jobsFailed > 0 && t("outages.jobs.failed", { count: format.count(one.jobsFailed) }),
      ]
        .filter(Boolean)
        .join(", ") || "–",
    ],
  }));
  const columns = [
    { name: t("outages.from") },
    { name: t("outages.duration") },
    { name: t("outages.what"), isText: true },
    { name: t("outages.lost"), isNumber: true },
    { name: t("outages.jobs"), isText: true },
  ];
  const heading = t("outages.heading");
  return section("outages", heading, tableOr(t("outages.none"), heading, columns, rows));
}

export function tokens(context: Context): HTMLElement {
  const { t, format, now, state } = context;
  const next = (token: TokenPart): Child => {
    if (token.expiresAt === "never") return t("tokens.next.never");
    if (token.expiresAt === null) return t("tokens.unknown");
    const key = token.expiresAt <= now ? "tokens.next.over" : "tokens.next.by";
    const text = t(key, { when: format.date(token.expiresAt) });
    return timed(context, token.expiresAt, text);
  };
  const rows = state.tokens.map((token) => ({
    key: token.name,
    cells: [
      token.name,
      t(token.enabled ? "tokens.enabled" : "tokens.disabled"),
      token.issuedAt === null
        ? "–"
        : h("span", {}, day(context, token.issuedAt), ` (${format.relative(token.issuedAt, now)})`),
      next(token),
    ],
  }));
  const columns = [
    { name: t("tokens.caller") },
    { name: t("tokens.state") },
    { name: t("tokens.issued"), isText: true, isMinor: true },
    { name: t("tokens.next"), isText: true },
  ];
  return section("tokens", t("tokens.heading"), table(t("tokens.heading"), columns, rows));
}

const REASONS: ReadonlySet<string> = new Set<MessageKey>([
  "adaptive.reason.start",
  "adaptive.reason.bounds",
  "adaptive.reason.try_more",
  "adaptive.reason.more_pays",
  "adaptive.reason.more_does_not_pay",
  "adaptive.reason.try_fewer",
  "adaptive.reason.fewer_suffice",
  "adaptive.reason.fewer_cost",
  "adaptive.reason.first_token_late",
]);

export function adaptive(context: Context): HTMLElement | null {
  const { t, format, state } = context;
  if (state.adaptive === null) return null;
  const { slots, min, max } = state.adaptive;
  const rate = (value: number | null) => (value === null ? "–" : format.rate(value));
  const reasonOf = (reason: string) => {
    const key = `adaptive.reason.${reason}`;
    return REASONS.has(key) ? t(key as MessageKey) : reason;
  };
  const rows = state.adaptive.changes.map(({ at, from, to, reason, before, after }, index) => ({
    key: `${at} ${index}`,
    cells: [
      moment(context, at),
      from === to ? format.count(to) : `${from} → ${to}`,
      reasonOf(reason),
      rate(before),
      rate(after),
    ],
  }));
  const columns = [
    { name: t("adaptive.when") },
    { name: t("adaptive.slots") },
    { name: t("adaptive.why"), isText: true },
    { name: t("adaptive.before"), isNumber: true },
    { name: t("adaptive.after"), isNumber: true },
  ];
  const heading = t("adaptive.heading");
  return section(
    "adaptive",
    heading,
    note(t("adaptive.now", { slots, min, max })),
    tableOr(t("adaptive.none"), heading, columns, rows),
  );
}

export function lines(context: Context): HTMLElement | null {
  const { t, state } = context;
  if (state.lines.length === 0) return null;
  const rows = state.lines.map(({ server, connected, since, reason }) => ({
    key: server,
    cells: [
      server,
      h(
        "span",
        { class: `state state-${connected ? "completed" : "failed"}` },
        connected ? t("lines.connected") : t("lines.not_connected", { reason: reason ?? t("unknown") }),
      ),
      since === null ? "–" : moment(context, since),
    ],
  }));
  const columns = [{ name: t("lines.server") }, { name: t("lines.state"), isText: true }, { name: t("lines.since") }];
  return section("lines", t("lines.heading"), table(t("lines.heading"), columns, rows));
}

export function audit(context: Context): HTMLElement {
  const { t, state } = context;
  const rows = state.audit.map((one, index) => ({
    key: `${one.at} ${index}`,
    cells: [
      moment(context, one.at),
      one.who,
      t(one.outcome === "done" ? "audit.cancel_job" : `audit.cancel_job.${one.outcome}`, {
        job: `${one.job.slice(0, 12)}…`,
        caller: [one.caller, one.company].filter(Boolean).join(", ") || t("unknown"),
        reason: one.reason ?? t("unknown"),
      }),
    ],
  }));
  const columns = [{ name: t("audit.when") }, { name: t("audit.who") }, { name: t("audit.what"), isText: true }];
  const heading = t("audit.heading");
  return section("audit", heading, tableOr(t("audit.none"), heading, columns, rows));
}
