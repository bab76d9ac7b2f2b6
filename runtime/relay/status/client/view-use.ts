/** Who uses the model, and for what: sections below the first screen, each with a table. */
import { OTHERS } from "../../usage/others.ts";
import type { JobPart } from "../page-data.ts";
import type { Context } from "./context.ts";
import { type Child, h } from "./dom.ts";
import { note, section, share, table, tableOr } from "./parts.ts";
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
