/** Does a UPS shut the Mac down? */
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";

export const ups = defineCheck({
  name: "UPS",
  commands: () => ({ ups: "pmset -g ups" }),
  evaluate({ ups: answer }) {
    const text = outputOf(answer);
    if (text === undefined) return unknown(answer);
    // Rows of name, on or off, value (show_ups_settings of pmset).
    const rows = [...text.matchAll(/^\s+(halt\w+)\s+(?:(on|off)\s+)?(\d+)/gm)];
    const on = rows.filter(([, , state, value]) => (state === undefined ? value !== "0" : state === "on"));
    if (on.length === 0) return ok("none shuts this Mac down");
    return warn(
      `shuts the Mac down by ${on.map(([, name, , value]) => `${name} ${value}`).join(", ")}`,
      'If power returns before the UPS is empty, the Mac never lost it and may stay off: after an orderly shutdown, "start up after a power failure" does not apply.',
      "Remove the thresholds (`sudo pmset -u haltlevel 0 haltafter 0 haltremain 0`): acknowledged jobs survive a power cut. Or test on the real Mac that it starts again (docs/operations.md).",
    );
  },
});
