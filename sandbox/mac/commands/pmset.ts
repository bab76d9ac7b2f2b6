/** `pmset`: reads and writes the power settings, pmset(1). */
import { type Answer, type Command, fail, type Machine, ok } from "./command.ts";

/** pmset -a|-c|-u key value … | -g [cap|custom|ups|live] */
export const pmset: Command = (call, mac) => {
  const [flag = "", ...rest] = call.argv;
  if (flag === "-g") return get(rest[0] ?? "live", mac);
  const group = flag === "-a" || flag === "-c" ? "ac" : flag === "-u" ? "ups" : undefined;
  if (group === undefined || rest.length === 0 || rest.length % 2 !== 0) return usage();
  const settings = mac.power.value[group];
  const changes: Record<string, number> = {};
  for (let i = 0; i < rest.length; i += 2) {
    const key = (rest[i] ?? "").toLowerCase();
    const value = rest[i + 1] ?? "";
    if (!Object.hasOwn(settings, key) || !/^\d+$/.test(value)) return usage();
    changes[key] = Number(value);
  }
  if (call.user !== "root") return fail(1, "'pmset' must be run as root...");
  const { forgotten, oneRestartKey } = mac.power.value;
  for (const [key, value] of Object.entries(changes)) {
    if (forgotten.includes(key)) continue;
    settings[key] = value;
    const other = { autorestart: "autorestartatconnect", autorestartatconnect: "autorestart" }[key];
    if (oneRestartKey && value === 1 && other !== undefined && settings[other] !== undefined) settings[other] = 0;
  }
  mac.power.save();
  return ok();
};

/** The real one prints its usage for anything it does not know, and changes nothing. */
const usage = (): Answer => fail(64, "Usage: pmset <options>", "See pmset(1) for details: 'man pmset'");

function get(what: string, mac: Machine): Answer {
  const rows = (settings: Record<string, number>): string[] =>
    Object.entries(settings).map(([key, value]) => ` ${key.padEnd(20)} ${value}`);
  const { ac, ups } = mac.power.value;
  switch (what) {
    case "live":
      return ok("System-wide power settings:", "Currently in use:", ...rows(ac));
    case "custom":
      return ok("AC Power:", ...rows(ac));
    case "cap":
      return ok("Capabilities for AC Power:", ...Object.keys(ac).map((key) => ` ${key}`));
    case "ups":
      return ok("UPS settings:", ...rows(ups).map((row) => ` ${row}`));
    default:
      return usage();
  }
}
