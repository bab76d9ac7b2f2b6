/** The options of `npm run usage`. Pure. */

import { jsonOption, keyOption, type Parsed, parseCommand, stackOption } from "../cli.ts";
import { UsageError } from "../errors.ts";

export const command = {
  name: "usage",
  summary:
    "Shows who used how many tokens, and what that would have cost in a cloud. Reads the relay's ledger on the Mac.",
  operands: "[mac]",
  options: {
    month: { type: "string", value: "YYYY-MM", help: "a whole month; default: this month so far" },
    from: { type: "string", value: "TIME", help: "a day (2026-11-28), a month, or an RFC 3339 timestamp" },
    to: { type: "string", value: "TIME", help: "the same; the range ends before it; default: now" },
    by: {
      type: "string",
      value: "WHAT",
      default: "company",
      help: "company, caller, model, day, kind, servedBy, colo; several with commas; none: only the total",
    },
    csv: { type: "boolean", default: false, help: "print comma-separated values" },
    here: { type: "boolean", default: false, help: "this computer is the Mac: no SSH" },
    ...keyOption,
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run usage -- --month 2026-11", "by company"],
    ["npm run -s usage -- --month 2026-11 --by company,model --csv", "for a spreadsheet"],
    ["npm run usage -- --from 2026-11-01 --to 2026-11-15 --by day", "the first two weeks, by day"],
    ["npm run usage -- --here --json", "on the Mac itself, for a script"],
  ],
  exitCodes: { 1: "the relay refused the question: the message says what to change" },
} as const;

export interface UsageOptions {
  /** Of the admin listener's `/usage`, with its `?`. */
  readonly query: string;
  readonly as: "table" | "csv" | "json";
  readonly here: boolean;
  readonly key: string | undefined;
  readonly stack: string | undefined;
  readonly mac: string | undefined;
}

/** @throws UsageError */
export function readOptions(args: readonly string[]): UsageOptions {
  const { values, positionals }: Parsed<typeof command.options> = parseCommand(command, args);
  const { month, from, to, by, csv, json, here, key, stack } = values;
  if (csv && json) throw new UsageError("--csv and --json are both given: choose one");
  if (month !== undefined && (from !== undefined || to !== undefined)) {
    throw new UsageError("--month is given with --from or --to: choose one of them");
  }
  if (month !== undefined && !/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) {
    throw new UsageError(`--month ${JSON.stringify(month)} is not a month: write it as 2026-11`);
  }
  const query = new URLSearchParams();
  const [first, last] = month === undefined ? [from, to] : [month, nextMonth(month)];
  if (first !== undefined) query.set("from", first);
  if (last !== undefined) query.set("to", last);
  if (by !== "none") query.set("by", by);
  return { query: `?${query}`, as: csv ? "csv" : json ? "json" : "table", here, key, stack, mac: positionals[0] };
}

function nextMonth(month: string): string {
  const [year = 0, number = 1] = month.split("-").map(Number);
  return number === 12 ? `${year + 1}-01` : `${year}-${String(number + 1).padStart(2, "0")}`;
}
