/** Small pieces that several parts of the page are made of. */
import type { Context } from "./context.ts";
import { type Child, h } from "./dom.ts";

/** A section with a heading. @param id in the page */
export function section(id: string, heading: string, ...children: Child[]): HTMLElement {
  return h(
    "section",
    { key: id, id, class: "panel", "aria-labelledby": `${id}-heading` },
    h("h2", { id: `${id}-heading` }, heading),
    ...children,
  );
}

/** A column of a table. */
export interface Column {
  readonly name: string;
  /** Numbers stand on the right. */
  readonly isNumber?: boolean;
  /** Left out where there is little room. */
  readonly isMinor?: boolean;
  /** Has long texts, which may be broken. */
  readonly isText?: boolean;
}

/** A row, named among its siblings by `key`. */
export interface Row {
  readonly key: string;
  readonly cells: readonly Child[];
}

/** A table that scrolls by itself where it does not fit; `label` names it. */
export function table(label: string, columns: readonly Column[], rows: readonly Row[]): HTMLElement {
  const classOf = ({ isNumber, isMinor, isText }: Column) =>
    [isNumber && "number", isMinor && "minor", isText && "text"].filter(Boolean).join(" ");
  const cell = (column: Column, child: Child, at: number) =>
    at === 0 ? h("th", { scope: "row", class: classOf(column) }, child) : h("td", { class: classOf(column) }, child);
  return h(
    "div",
    // It can be scrolled by keys, too.
    { class: "scroll", role: "group", "aria-label": label, tabindex: 0 },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ...columns.map((one) => h("th", { scope: "col", class: classOf(one) }, one.name)))),
      h(
        "tbody",
        {},
        ...rows.map(({ key, cells }) => h("tr", { key }, ...columns.map((one, at) => cell(one, cells[at], at)))),
      ),
    ),
  );
}

/** The table, or a note when it has no rows. */
export const tableOr = (none: string, label: string, columns: readonly Column[], rows: readonly Row[]): HTMLElement =>
  rows.length > 0 ? table(label, columns, rows) : note(none);

/** A text about a time, which is shown in full when the text is pointed at. */
export function timed({ format }: Context, at: number, text: string): HTMLElement {
  return h("time", { datetime: new Date(at).toISOString(), title: format.full(at) }, text);
}

/** A moment, with date and time zone when it is pointed at. */
export function moment(context: Context, at: number): HTMLElement {
  return timed(context, at, context.format.moment(at, context.now));
}

/** A day, e.g. of an end of life. */
export function day(context: Context, at: number): HTMLElement {
  return timed(context, at, context.format.date(at));
}

/** A share as a bar and a number. */
export function share({ format }: Context, part: number, whole: number, isMarked = false): HTMLElement {
  const ratio = whole > 0 ? part / whole : 0;
  // A style attribute would be inline style: the width is one of 21 classes.
  const step = Math.round(ratio * 20) * 5;
  return h(
    "span",
    { class: "share" },
    h("span", { class: `bar bar-${step}${isMarked ? " bar-marked" : ""}`, "aria-hidden": "true" }),
    h("span", {}, format.percent(ratio)),
  );
}

export const note = (text: string): HTMLElement => h("p", { class: "note" }, text);
