/** Does the Mac open somebody's session at start? */
import { defineCheck, ok, unknown, warn } from "../check.ts";
import { autoLoginUser } from "../commands.ts";

export const autoLogin = defineCheck({
  name: "automatic login",
  commands: () => ({ user: autoLoginUser }),
  evaluate({ user: answer }) {
    if (!answer || "unanswered" in answer) return unknown(answer);
    const user = answer.stdout.trim();
    if (answer.exitCode !== 0 || user === "") return ok("off"); // `defaults` ends with 1 when there is no such key
    return warn(
      `as ${user}`,
      "Anyone in front of the Mac is signed in. The relay and the tunnel run without a login.",
      "Needed only while the model server starts with a user's session. With model.service turn it off: System Settings → Users & Groups → Automatically log in as.",
    );
  },
});
