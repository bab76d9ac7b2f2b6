/** Will SSH be on after the next start? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { messagesIn } from "../messages.ts";

export const remoteLogin = defineCheck({
  name: "Remote Login",
  commands: () => ({ remoteLogin: "sudo -n systemsetup -getremotelogin" }),
  evaluate({ remoteLogin: answer }, context) {
    const say = messagesIn(context).remoteLogin;
    const state = /^Remote Login: (\w+)/m.exec(outputOf(answer) ?? "")?.[1];
    if (state === undefined) return unknown(context, answer, say.unknownTodo);
    if (state === "On") return ok(say.on);
    return fail(...say.off(state.toLowerCase()));
  },
});
