/** Does the Mac switch itself on when power returns? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { powerSettings } from "../commands.ts";
import { messagesIn } from "../messages.ts";
import { readPmset } from "../pmset.ts";

export const powerRestart = defineCheck({
  name: "power returns",
  commands: () => ({ power: powerSettings }),
  evaluate({ power }, context) {
    const say = messagesIn(context).powerRestart;
    const settings = readPmset(outputOf(power) ?? "");
    if (settings.size === 0) return unknown(context, power);
    // System Settings sets one of the two: "After power failure" or "Always" (macOS 26.5 on Macs since 2024).
    const on = ["autorestart", "autorestartatconnect"].filter((key) => settings.get(key) === "1");
    if (on.length > 0) return ok(say.on(on.join(", ")));
    return fail(...say.off());
  },
});
