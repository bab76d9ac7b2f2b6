/** Does macOS install updates and restart without being asked? */
import { defineCheck, ok, outputOf, warn } from "../check.ts";
import { messagesIn } from "../messages.ts";

const key = "AutomaticallyInstallMacOSUpdates";

export const updates = defineCheck({
  name: "automatic updates",
  commands: () => ({ updates: "defaults read /Library/Preferences/com.apple.SoftwareUpdate" }),
  evaluate({ updates: answer }, context) {
    const say = messagesIn(context).updates;
    const value = new RegExp(`^\\s*${key} = (\\d);`, "m").exec(outputOf(answer) ?? "")?.[1];
    if (value === "0") return ok(say.off);
    return warn(...say.mayRestart(value === "1" ? say.on : say.unset, key));
  },
});
