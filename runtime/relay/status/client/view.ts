/** The whole page, by what is known. */
import type { Format } from "../format.ts";
import { LANGUAGE_NAMES, LANGUAGES, PATHS, THEMES } from "../page-data.ts";
import type { Chart } from "./charts.ts";
import type { Context, Translate } from "./context.ts";
import { type Child, h } from "./dom.ts";
import type { Live } from "./live.ts";
import { chooseLanguage, chooseTheme, language, theme } from "./preferences.ts";
import { history } from "./view-history.ts";
import { cards, headline, hero, warnings } from "./view-now.ts";
import { adaptive, audit, lines, outages, tokens } from "./view-operation.ts";
import { callers, companies, documents, entry, jobs } from "./view-use.ts";

/** @param render called after the reader has changed language or colours */
export function page(context: Context, render: () => void): { nodes: Child[]; charts: readonly Chart[] } {
  const { element, charts } = history(context);
  const { t, state, live, format } = context;
  const nodes = [
    h("a", { key: "skip", class: "skip", href: "#main" }, t("menu.skip")),
    banner({ t, hostname: state.relay.hostname, live, format, render }),
    h(
      "main",
      { key: "main", id: "main", tabindex: -1 },
      connectionNotice({ t, live, format }),
      hero(context),
      cards(context),
      warnings(context),
      element,
      h("div", { key: "pair-1", class: "pair pair-uneven" }, companies(context), callers(context)),
      jobs(context),
      h("div", { key: "pair-2", class: "pair" }, documents(context), entry(context)),
      outages(context),
      tokens(context),
      adaptive(context),
      lines(context),
      audit(context),
    ),
    footer(context),
  ];
  return { nodes, charts };
}

export const titleOf = (context: Context): string =>
  `${context.t(`title.${headline(context)}`)} · ${context.state.relay.hostname}`;

interface Frame {
  readonly t: Translate;
  readonly hostname: string;
  readonly live: Live;
  readonly format: Format;
  readonly render: () => void;
}

/** Before the first event has come. */
export function waitingPage(frame: Frame): Child[] {
  return [
    banner(frame),
    h(
      "main",
      { key: "main", id: "main" },
      connectionNotice(frame),
      h("section", { key: "hero", class: "hero" }, h("p", { class: "headline" }, frame.t("title.unknown"))),
    ),
  ];
}

function banner({ t, hostname, live, render }: Frame): HTMLElement {
  const pick = (choose: () => void) => () => {
    choose();
    render();
  };
  const choice = (label: string, options: readonly (readonly [string, string, boolean, () => void])[]) =>
    h(
      "div",
      { class: "choice", role: "group", "aria-label": label },
      ...options.map(([key, name, isChosen, choose]) =>
        h(
          "button",
          {
            type: "button",
            key,
            "aria-pressed": String(isChosen),
            lang: LANGUAGES.find((one) => one === key),
            onclick: pick(choose),
          },
          name,
        ),
      ),
    );
  return h(
    "header",
    { key: "banner" },
    h("h1", {}, hostname),
    h("p", { class: `live live-${live.connection}` }, t(live.connection === "live" ? "live.live" : "live.connecting")),
    h(
      "div",
      { class: "menu" },
      choice(
        t("menu.language"),
        LANGUAGES.map((one) => [one, LANGUAGE_NAMES[one], one === language(), () => chooseLanguage(one)]),
      ),
      choice(
        t("menu.theme"),
        THEMES.map((one) => [one, t(`menu.theme.${one}`), one === theme(), () => chooseTheme(one)]),
      ),
    ),
  );
}

/** Says that what is shown is old, or that the reader must sign in again. */
function connectionNotice({ t, live, format }: Pick<Frame, "t" | "live" | "format">): HTMLElement | null {
  if (live.connection === "signed_out") {
    return h(
      "div",
      { key: "notice", class: "notice", role: "alert" },
      t("live.signed_out"),
      " ",
      h("button", { type: "button", onclick: () => location.reload() }, t("live.reload")),
    );
  }
  if (live.connection !== "stale") return null;
  const { lastAt } = live;
  const when = lastAt === undefined ? t("unknown") : format.moment(lastAt, Date.now());
  return h("div", { key: "notice", class: "notice", role: "alert" }, t("live.stale", { when }));
}

function footer({ t, format, state, reader }: Context): HTMLElement {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const { disk } = state.relay;
  const who = reader.isOperator ? `${reader.who} (${t("footer.operator")})` : reader.who;
  return h(
    "footer",
    { key: "footer" },
    h("p", {}, t("footer.signed_in", { who })),
    h("p", {}, t("footer.zone", { zone: timeZone })),
    disk === null
      ? null
      : h("p", {}, t("footer.disk", { free: format.bytes(disk.freeBytes), total: format.bytes(disk.totalBytes) })),
    h("p", {}, h("a", { href: PATHS.data }, t("footer.json"))),
  );
}
