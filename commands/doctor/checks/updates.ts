/** Does macOS install updates and restart without being asked? */
import { defineCheck, ok, outputOf, warn } from "../check.ts";

const key = "AutomaticallyInstallMacOSUpdates";

export const updates = defineCheck({
  name: "automatic updates",
  commands: () => ({ updates: "defaults read /Library/Preferences/com.apple.SoftwareUpdate" }),
  evaluate({ updates: answer }) {
    const value = new RegExp(`^\\s*${key} = (\\d);`, "m").exec(outputOf(answer) ?? "")?.[1];
    if (value === "0") return ok("off");
    return warn(
      value === "1" ? "on" : "not set, so the default of macOS applies",
      "The Mac may restart at night to install macOS. It recovers unattended, but responses in flight are lost.",
      `Turn off System Settings → General → Software Update → Automatic Updates → Install macOS updates, and update when it suits you; or \`sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate ${key} -bool false\`.`,
    );
  },
});
