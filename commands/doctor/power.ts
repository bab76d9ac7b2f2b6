/** What decides whether the Mac comes back by itself, and how it came back the last times. */
import { type Answer, type Finding, outputOf, unknown } from "./finding.ts";

/** @param answer of `fdesetup isactive`: exit code 0 is on, 1 is off (fdesetup(8)) */
export function fileVaultFinding(answer: Answer | undefined): Finding {
  const check = "FileVault";
  if (!answer || "unanswered" in answer) return unknown(check, answer);
  const said = answer.stdout.trim();
  if (said === "false" && answer.exitCode !== 0) return { check, level: "ok", found: "off: the Mac starts by itself" };
  if (said !== "true") return unknown(check, answer);
  return {
    check,
    level: "fail",
    found: "on",
    means:
      "After a power cut the Mac waits for a password before anything starts; no setting gets around it. On macOS 26 it can be typed over SSH (`ssh` as a user of the Mac, with the password), else at its screen.",
    todo: "Either System Settings → Privacy & Security → FileVault → Turn Off, and lock the Mac away; or keep it on and know that somebody must come.",
  };
}

/** Settings of one power source, by name. `Sleep On Power Button 1` has spaces in its name; a value may have a note behind. */
export function readPmset(text: string, source = "AC Power"): Map<string, string> {
  const settings = new Map<string, string>();
  let inSource = false;
  for (const line of text.split("\n")) {
    if (/^\S.*:\s*$/.test(line)) inSource = line.trim() === `${source}:`;
    const [, name, value] = /^\s+(\S.*?)\s+(\S+)(?:\s+\(.*\))?\s*$/.exec(line) ?? [];
    if (inSource && name !== undefined && value !== undefined) settings.set(name, value);
  }
  return settings;
}

/** @param answer of `pmset -g custom` */
export function restartFinding(answer: Answer | undefined): Finding {
  const check = "power returns";
  const settings = readPmset(outputOf(answer) ?? "");
  if (settings.size === 0) return unknown(check, answer);
  // System Settings sets one of the two: "After power failure" or "Always" (macOS 26.5 on Macs since 2024).
  const on = ["autorestart", "autorestartatconnect"].filter((key) => settings.get(key) === "1");
  if (on.length > 0) return { check, level: "ok", found: `the Mac switches itself on (${on.join(", ")})` };
  return {
    check,
    level: "fail",
    found: "the Mac stays off (autorestart 0)",
    means: "After a power cut somebody has to press its button.",
    todo: "`pulumi up` sets it; or by hand: `sudo pmset -a autorestart 1`, or System Settings → Energy → Start up automatically after a power failure.",
  };
}

/** @param answer of `pmset -g custom` */
export function sleepFinding(answer: Answer | undefined): Finding {
  const check = "sleep";
  const minutes = readPmset(outputOf(answer) ?? "").get("sleep");
  if (minutes === undefined) return unknown(check, answer);
  if (minutes === "0") return { check, level: "ok", found: "never" };
  return {
    check,
    level: "fail",
    found: `after ${minutes} min without anybody at it`,
    means: "A sleeping Mac does not answer: callers get 530 until someone wakes it.",
    todo: "`pulumi up` sets it; or by hand: `sudo pmset -a sleep 0`, or System Settings → Energy → Prevent automatic sleeping.",
  };
}

/** @param answer of `pmset -g ups`: rows of name, on or off, value (pmset's show_ups_settings) */
export function upsFinding(answer: Answer | undefined): Finding {
  const check = "UPS";
  const text = outputOf(answer);
  if (text === undefined) return unknown(check, answer);
  const rows = [...text.matchAll(/^\s+(halt\w+)\s+(?:(on|off)\s+)?(\d+)/gm)];
  const on = rows.filter(([, , state, value]) => (state === undefined ? value !== "0" : state === "on"));
  if (on.length === 0) return { check, level: "ok", found: "none shuts this Mac down" };
  return {
    check,
    level: "warn",
    found: `shuts the Mac down by ${on.map(([, name, , value]) => `${name} ${value}`).join(", ")}`,
    means:
      "When power returns before the UPS is empty, the Mac never lost it and may stay off for good: switching on after a power failure does not count after an orderly shutdown.",
    todo: "Take the thresholds away (`sudo pmset -u haltlevel 0 haltafter 0 haltremain 0`): what is acknowledged survives a cut. Or prove on the real Mac that it comes back (docs/operations.md).",
  };
}

/** One start. */
export interface Boot {
  /** As `last` shows it, in the Mac's time, e.g. `Mon Aug 24 08:17`. */
  readonly at: string;
  /** An orderly shutdown or restart stands before it. */
  readonly clean: boolean;
}

/** @param text of `last reboot shutdown`, the newest first. @returns starts; the oldest is left out, since what was before is not known */
export function readBoots(text: string): Boot[] {
  const rows = [...text.matchAll(/^(reboot|shutdown) time\s+(\S.*\S)\s*$/gm)];
  return rows.slice(0, -1).flatMap(([, kind, at = ""], index) => {
    return kind === "reboot" ? [{ at, clean: rows[index + 1]?.[1] === "shutdown" }] : [];
  });
}

/** A panic's report is written soon after the start that follows it. */
const reportMinutes = 60;

/** A start's time without a year, in the year that is given. */
const timeOf = ({ at }: Boot, year: string): number =>
  Date.parse(at.replace(/^\w{3} (\w{3} +\d+) (\d\d:\d\d)$/, `$1 ${year} $2 UTC`));

/**
 * @param boots the newest first
 * @param panics file names such as `panic-full-2026-08-24-081709.0002.panic`, in the Mac's time as the starts are
 * @returns the starts that a crash of macOS came before
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

/** @param answer of `last reboot shutdown` @param panics of the folder with panic reports */
export function bootsFinding(answer: Answer | undefined, panics: Answer | undefined): Finding {
  const check = "last starts";
  const text = outputOf(answer);
  if (text === undefined || !/^reboot time/m.test(text)) return unknown(check, answer);
  const boots = readBoots(text).slice(0, 5);
  if (boots.length === 0) return { check, level: "ok", found: "one, which is the first that is noted" };
  const crashed = crashes(boots, outputOf(panics) ?? "");
  const why = (boot: Boot) => (boot.clean ? "restarted" : crashed.has(boot) ? "a crash of macOS" : "power lost");
  const found = boots.map((boot) => `${boot.at} (${why(boot)})`).join("; ");
  if (crashed.size === 0) return { check, level: "ok", found };
  return {
    check,
    level: "warn",
    found,
    means: "macOS itself crashed. Acknowledged jobs survive that, running answers do not.",
    todo: "Update macOS; the reports are in /Library/Logs/DiagnosticReports. Often it is the model server that takes too much memory: a smaller model or fewer at once.",
  };
}

/** @param answer of `defaults read /Library/Preferences/com.apple.SoftwareUpdate` */
export function updatesFinding(answer: Answer | undefined): Finding {
  const check = "updates by itself";
  const key = "AutomaticallyInstallMacOSUpdates";
  const value = new RegExp(`^\\s*${key} = (\\d);`, "m").exec(outputOf(answer) ?? "")?.[1];
  if (value === "0") return { check, level: "ok", found: "off" };
  const found = value === "1" ? "on" : "not set, so macOS' own default counts";
  return {
    check,
    level: "warn",
    found,
    means:
      "The Mac may restart in the night to install macOS. It comes back by itself, but running answers are cut off.",
    todo: `System Settings → General → Software Update → Automatic Updates → Install macOS updates: off, and update when it suits; or \`sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate ${key} -bool false\`.`,
  };
}

/** @param answer of `defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser`: exit code 1 when it is off */
export function autoLoginFinding(answer: Answer | undefined): Finding {
  const check = "signs in by itself";
  if (!answer || "unanswered" in answer) return unknown(check, answer);
  const user = answer.stdout.trim();
  if (answer.exitCode !== 0 || user === "") return { check, level: "ok", found: "off" };
  return {
    check,
    level: "warn",
    found: `as ${user}`,
    means: "Anyone at the Mac is signed in. The relay and the tunnel need no login.",
    todo: "Needed only while the model server starts with a person's session; with model.service switch it off: System Settings → Users & Groups → Automatically log in as.",
  };
}
