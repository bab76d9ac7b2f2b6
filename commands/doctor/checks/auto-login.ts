/** Does the Mac open somebody's session at start? */
import { defineCheck, ok, unknown, warn } from "../check.ts";
import { autoLoginUser } from "../commands.ts";
import { messagesIn } from "../messages.ts";

export const autoLogin = defineCheck({
  name: "automatic login",
  commands: () => ({ user: autoLoginUser }),
  evaluate({ user: answer }, context) {
    const say = messagesIn(context).autoLogin;
    if (!answer || "unanswered" in answer) return unknown(context, answer);
    const user = answer.stdout.trim();
    if (answer.exitCode !== 0 || user === "") return ok(say.off); // `defaults` ends with 1 when there is no such key
    return warn(...say.as(user));
  },
});
