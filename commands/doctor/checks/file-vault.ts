/** Does the Mac wait for a password at every start? */
import { defineCheck, fail, ok, unknown } from "../check.ts";
import { messagesIn } from "../messages.ts";

export const fileVault = defineCheck({
  name: "FileVault",
  commands: () => ({ active: "fdesetup isactive" }),
  evaluate({ active: answer }, context) {
    const say = messagesIn(context).fileVault;
    if (!answer || "unanswered" in answer) return unknown(context, answer);
    // Exit code 0 is on, 1 is off (fdesetup(8)).
    const text = answer.stdout.trim();
    if (text === "false" && answer.exitCode !== 0) return ok(say.off);
    if (text !== "true") return unknown(context, answer);
    return fail(...say.on());
  },
});
