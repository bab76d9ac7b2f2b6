/** `last reboot shutdown`: when the Mac was started and shut down, last(1) of macOS 14 and later. */
import { type Command, fail, ok } from "./command.ts";

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** `Mon Aug 24 08:17`, in local time. */
function shown(at: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = String(at.getDate()).padStart(2);
  return `${days[at.getDay()]} ${months[at.getMonth()]} ${day} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** last [reboot] [shutdown]; `reboot` alone shows both, as on macOS */
export const last: Command = (call, { wtmp }) => {
  if (call.argv.length === 0 || call.argv.some((arg) => arg !== "reboot" && arg !== "shutdown")) {
    return fail(1, "last: the sandbox's last knows reboot and shutdown");
  }
  const wanted = call.argv.includes("reboot") ? ["reboot", "shutdown"] : ["shutdown"];
  const rows = wtmp.entries
    .filter(({ kind }) => wanted.includes(kind))
    .toReversed()
    .map(({ kind, at }) => `${`${kind} time`.padEnd(42)} ${shown(new Date(at))} `);
  return ok(...rows, "", `wtmp begins ${shown(new Date(wtmp.entries[0]?.at ?? Date.now()))}`);
};
