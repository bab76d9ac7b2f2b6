/**
 * `pmset`: reads and writes the power settings. Formats of pmset(1), Apple's PowerManagement (pmset.c) and captures of a
 * Mac Studio and a Mac mini with macOS 26.
 */
import { powerButton, unsupportedSettings } from "../power-settings.ts";
import { type Answer, type Command, fail, type Machine, ok } from "./command.ts";

/** Boolean settings: any number above 0 counts as 1. */
const switches = new Set(["womp", "powernap", "autorestart", "autorestartatconnect", "ttyskeepawake", "tcpkeepalive"]);

/** pmset [-a|-c|-b|-u] key value … | -g [cap|custom|ups|live] */
export const pmset: Command = (call, mac) => {
  const [flag = "", ...more] = call.argv;
  if (flag === "-g") return get(more[0] ?? "live", mac);
  // Without a flag, it applies to all power sources.
  const rest = flag.startsWith("-") ? more : call.argv;
  if (flag.startsWith("-") && !["-a", "-c", "-b", "-u"].includes(flag)) return usage();
  if (rest.length === 0 || rest.length % 2 !== 0) return usage();
  const { ac, ups } = mac.power.value;
  const changes: { ac: Record<string, number>; ups: Record<string, number> } = { ac: {}, ups: {} };
  for (let i = 0; i < rest.length; i += 2) {
    const key = (rest[i] ?? "").toLowerCase();
    const text = rest[i + 1] ?? "";
    if (!/^(-1|\d+)$/.test(text)) return usage();
    const value = switches.has(key) ? Math.min(Math.abs(Number(text)), 1) : Number(text);
    if (Object.hasOwn(ups, key)) {
      if (flag === "-b" || flag === "-c") return usage();
      changes.ups[key] = key === "haltlevel" ? Math.min(value, 100) : value;
    } else if (value < 0) return usage();
    // A desktop Mac has no battery and no separate UPS settings: -b and -u silently change nothing.
    else if (Object.hasOwn(ac, key)) Object.assign(changes.ac, flag === "-b" || flag === "-u" ? {} : { [key]: value });
    else if (!unsupportedSettings.includes(key)) return usage();
  }
  if (call.user !== "root") return fail(1, "'pmset' must be run as root...");
  const { forgotten, oneRestartKey } = mac.power.value;
  for (const [key, value] of Object.entries(changes.ac)) {
    if (forgotten.includes(key)) continue;
    ac[key] = value;
    const other = { autorestart: "autorestartatconnect", autorestartatconnect: "autorestart" }[key];
    if (oneRestartKey && value === 1 && other !== undefined && ac[other] !== undefined) ac[other] = 0;
  }
  Object.assign(ups, changes.ups);
  mac.power.save();
  return ok();
};

/** macOS' pmset prints its usage for any unknown word and changes nothing. */
const usage = (): Answer => fail(64, "Usage: pmset <options>", "See pmset(1) for details: 'man pmset'");

const row = (key: string, value: string | number): string => ` ${key.padEnd(20)} ${value}`;

function get(what: string, mac: Machine): Answer {
  const { ac, ups } = mac.power.value;
  switch (what) {
    case "live":
      // The processes that keep the Mac awake follow the number.
      return ok(
        "System-wide power settings:",
        "Currently in use:",
        ...Object.entries(ac).map(([key, value]) =>
          key === "sleep" && value > 0 ? row(key, `${value} (sleep prevented by sshd)`) : row(key, value),
        ),
      );
    case "custom":
      return ok("AC Power:", ...Object.entries(ac).map(([key, value]) => row(key, value)));
    case "cap":
      return ok(
        "Capabilities for AC Power:",
        ...Object.keys(ac)
          .filter((key) => key !== powerButton)
          .map((key) => ` ${key}`),
      );
    case "ups":
      return ok(
        "UPS settings:",
        ...Object.entries(ups).map(([key, value]) => `  ${key}\t${value < 0 ? "off" : "on"}\t${Math.max(value, 0)}`),
      );
    default:
      return usage();
  }
}
