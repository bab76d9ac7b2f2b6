/** May the account that `pulumi up` signs in as become root? */
import { defineCheck, fail, ok } from "../check.ts";
import { messagesIn } from "../messages.ts";

export const sudo = defineCheck({
  name: "sudo",
  commands: () => ({ sudo: "sudo -n true" }),
  evaluate({ sudo: answer }, context) {
    const { user } = context.mac;
    const say = messagesIn(context).sudo;
    if (answer && !("unanswered" in answer) && answer.exitCode === 0) return ok(say.ok(user));
    return fail(...say.no(user));
  },
});
