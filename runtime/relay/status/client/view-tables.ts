/** The parts below the first screen, each a section with a table. */
import { OTHERS } from "../../usage/others.ts";
import type { MessageKey } from "../messages.ts";
import type { JobPart, TokenPart } from "../page-data.ts";
import type { Context } from "./context.ts";
import { type Child, h } from "./dom.ts";
import { day, moment, note, section, share, table, tableOr, timed } from "./parts.ts";
import { callersAtWork } from "./view-now.ts";

export function callers(context: Context): HTMLElement {
  const { t, format } = context;
  const rows = callersAtWork(context).map(([name, { running, waiting }]) => ({
    key: name,
    cells: [name, format.count(running), format.count(waiting)],
  }));
  const columns = [
    { name: t("callers.caller") },
    { name: t("callers.running"), isNumber: true },
    { name: t("callers.waiting"), isNumber: true },
  ];
  const heading = t("callers.heading");
  return section("callers", heading, tableOr(t("callers.none"), heading, columns, rows));
}

export function companies(context: Context): HTMLElement {
  const { t, format, history } = context;
  const found = history.usage?.companies ?? [];
  const total = found.reduce((sum, one) => sum + one.tokensIn + one.tokensOut, 0);
  const rows = found.map((one) => ({
    key: one.company ?? "\0",
    cells: [
      companyName(one.company, context),
      share(context, one.tokensIn + one.tokensOut, total),
      format.count(one.calls),
      format.compact(one.tokensIn),
      format.compact(one.tokensOut),
    ],
  }));
  const columns = [
    { name: t("companies.company"), isText: true },
    { name: t("companies.share") },
    { name: t("companies.calls"), isNumber: true },
    { name: t("companies.in"), isNumber: true, isMinor: true },
    { name: t("companies.out"), isNumber: true, isMinor: true },
  ];
  const heading = t("companies.heading");
  return section("companies", heading, tableOr(t("companies.none"), heading, columns, rows));
}

const companyName = (company: string | null, { t }: Context): string =>
  company === null ? t("companies.unnamed") : company === OTHERS ? t("companies.others") : company;

const isOpen = ({ state }: JobPart): boolean => state === "queued" || state === "in_progress";

export function jobs(context: Context): HTMLElement {
  const { t, format, now, state, reader, act } = context;
  const heading = t("jobs.heading");
  if (!state.jobs.available) return section("jobs", heading, note(t("jobs.unavailable")));
  const { counts, latest } = state.jobs;
  const canAct = reader.isOperator && location.origin === `https://${state.relay.hostname}`;
  const summary = t("jobs.summary", {
    queued: format.count(counts.queued),
    running: format.count(counts.in_progress),
    completed: format.count(counts.completed),
    failed: format.count(counts.failed),
    cancelled: format.count(counts.cancelled),
  });
  const action = (job: JobPart): Child =>
    isOpen(job)
      ? h(
          "button",
          {
            type: "button",
            class: "small",
            "aria-label": t("jobs.cancel.label", { id: job.id, caller: job.caller }),
            onclick: () => act.cancelJob(job.id, job.caller),
          },
          t("jobs.cancel"),
        )
      : null;
  const rows = latest.map((job) => ({
    key: job.id,
    cells: [
      h("code", { title: job.id }, `${job.id.slice(0, 12)}…`),
      h("span", { class: `state state-${job.state}`, title: job.error ?? "" }, t(`job.${job.state}`)),
      format.duration(Math.max(0, now - (job.finishedAt ?? job.startedAt ?? job.createdAt))),
      job.caller,
      job.company ?? "–",
      h("code", {}, job.path),
      canAct ? action(job) : null,
    ],
  }));
  const columns = [
    { name: t("jobs.job") },
    { name: t("jobs.state") },
    { name: t("jobs.age") },
    { name: t("jobs.caller") },
    { name: t("jobs.company"), isText: true },
    { name: t("jobs.path"), isMinor: true },
    ...(canAct ? [{ name: t("jobs.action") }] : []),
  ];
  const elsewhere = reader.isOperator && !canAct;
  return section(
    "jobs",
    heading,
    rows.length > 0 ? note(summary) : note(t("jobs.none")),
    rows.length > 0 ? table(heading, columns, rows) : null,
    elsewhere ? note(t("jobs.cancel.elsewhere", { url: `https://${state.relay.hostname}/status` })) : null,
  );
}

export function documents(context: Context): HTMLElement | null {
  const { t, format, state, history } = context;
  const found = state.documents;
  if (found === null) return null;
  const savings = history.usage?.month.savings;
  const facts: [string, Child][] = [
    [
      t("documents.kept"),
      found.kept === null
        ? t("unknown")
        : `${format.count(found.kept)}${found.bytes ? ` (${format.bytes(found.bytes)})` : ""}`,
    ],
    [
      t("documents.store"),
      `${t(`documents.store.${found.store}`)}, ${t(found.available ? "documents.available" : "documents.unavailable")}`,
    ],
    ...(savings === undefined
      ? []
      : ([
          [t("documents.hits"), format.count(savings.hits)],
          [t("documents.calls"), format.count(savings.calls)],
          [t("documents.reused"), format.count(savings.reused)],
          [t("documents.spared"), format.duration(savings.sparedMs)],
        ] as [string, Child][])),
  ];
  return section(
    "documents",
    t("documents.heading"),
    h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    note(t("documents.kept.ttl", { days: found.ttlDays })),
  );
}

/** Cloudflare's location in Seoul. */
const SEOUL = "ICN";

export function entry(context: Context): HTMLElement {
  const { t, format, history } = context;
  const found = history.usage?.entry ?? [];
  const total = found.reduce((sum, { requests }) => sum + requests, 0);
  const nameOf = (colo: string): Child =>
    colo === SEOUL
      ? h("strong", {}, `${colo} · ${t("entry.icn")}`)
      : colo === "direct" || colo === "none"
        ? t(`entry.${colo}`)
        : colo;
  const rows = found.map(({ colo, requests }) => ({
    key: colo,
    cells: [nameOf(colo), share(context, requests, total, colo === SEOUL), format.count(requests)],
  }));
  const columns = [{ name: t("entry.colo") }, { name: t("entry.share") }, { name: t("entry.calls"), isNumber: true }];
  const heading = t("entry.heading");
  return section(
    "entry",
    heading,
    tableOr(t("entry.empty"), heading, columns, rows),
    rows.length > 0 ? note(t("entry.note")) : null,
  );
}

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
