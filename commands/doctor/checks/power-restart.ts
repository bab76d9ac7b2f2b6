/** Does the Mac switch itself on when power returns? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { powerSettings } from "../commands.ts";
import { readPmset } from "../pmset.ts";

export const powerRestart = defineCheck({
  name: "power returns",
  commands: () => ({ power: powerSettings }),
  evaluate({ power }) {
    const settings = readPmset(outputOf(power) ?? "");
    if (settings.size === 0) return unknown(power);
    // System Settings sets one of the two: "After power failure" or "Always" (macOS 26.5 on Macs since 2024).
    const on = ["autorestart", "autorestartatconnect"].filter((key) => settings.get(key) === "1");
    if (on.length > 0) return ok(`the Mac switches itself on (${on.join(", ")})`);
    return fail(
      "the Mac stays off (autorestart 0)",
      "After a power cut somebody must press its power button.",
      "`pulumi up` sets it. By hand: `sudo pmset -a autorestart 1`, or System Settings → Energy → Start up automatically after a power failure.",
    );
  },
});
