/** How did the Mac come to start, the last times: restarted, after a power cut, after a crash? */
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { root } from "../commands.ts";
import { messagesIn } from "../messages.ts";

/** One start. */
export interface Boot {
  /** As `last` prints it, in the Mac's time, e.g. `Mon Aug 24 08:17`. */
  readonly at: string;
  /** An orderly shutdown or restart came before it. */
  readonly clean: boolean;
}

/** @param text of `last reboot shutdown`, newest first. @returns the starts without the oldest: what came before it is unknown */
export function readBoots(text: string): Boot[] {
  const rows = [...text.matchAll(/^(reboot|shutdown) time\s+(\S.*\S)\s*$/gm)];
  return rows.slice(0, -1).flatMap(([, kind, at = ""], index) => {
    return kind === "reboot" ? [{ at, clean: rows[index + 1]?.[1] === "shutdown" }] : [];
  });
}

/** macOS writes a panic's report soon after the start that follows it. */
const reportMinutes = 60;

/** `last` prints no year. */
const timeOf = ({ at }: Boot, year: string): number =>
  Date.parse(at.replace(/^\w{3} (\w{3} +\d+) (\d\d:\d\d)$/, `$1 ${year} $2 UTC`));

/**
 * @param boots newest first
 * @param panics file names such as `panic-full-2026-08-24-081709.0002.panic`, in the Mac's time as the starts are
 * @returns the starts that followed a crash of macOS
 */
export function crashes(boots: readonly Boot[], panics: string): Set<Boot> {
  const names = panics.matchAll(/(\d{4})-(\d\d)-(\d\d)-(\d\d)(\d\d)\d\d/g);
  const found = [...names].map(([, year = "", month, day, hour, minute]) => {
    const reported = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
    return boots.find((boot) => {
      const minutes = (reported - timeOf(boot, year)) / 60_000;
      return minutes >= 0 && minutes <= reportMinutes;
    });
  });
  return new Set(found.flatMap((boot) => (boot && !boot.clean ? [boot] : [])));
}

export const lastStarts = defineCheck({
  name: "last starts",
  commands: () => ({
    boots: "last reboot shutdown",
    // Only root may read the folder. No report is not an error.
    panics: `sudo -n ls ${root}/Library/Logs/DiagnosticReports 2>/dev/null | grep '[.]panic$' | tail -n 20; true`,
  }),
  evaluate({ boots: answer, panics }, context) {
    const say = messagesIn(context).lastStarts;
    const text = outputOf(answer);
    if (text === undefined || !/^reboot time/m.test(text)) return unknown(context, answer);
    const boots = readBoots(text).slice(0, 5);
    if (boots.length === 0) return ok(say.onlyFirst);
    const crashed = crashes(boots, outputOf(panics) ?? "");
    const cause = (boot: Boot) => (boot.clean ? say.restarted : crashed.has(boot) ? say.crashed : say.powerLost);
    const found = boots.map((boot) => `${boot.at} (${cause(boot)})`).join("; ");
    if (crashed.size === 0) return ok(found);
    return warn(...say.crash(found));
  },
});
