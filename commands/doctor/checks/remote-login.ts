/** Will SSH be on after the next start? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";

export const remoteLogin = defineCheck({
  name: "Remote Login",
  commands: () => ({ remoteLogin: "sudo -n systemsetup -getremotelogin" }),
  evaluate({ remoteLogin: answer }) {
    const state = /^Remote Login: (\w+)/m.exec(outputOf(answer) ?? "")?.[1];
    if (state === undefined) return unknown(answer, "It is on at the moment: this check came over it.");
    if (state === "On") return ok("on");
    return fail(
      `${state.toLowerCase()}, although this session works`,
      "After the next start the Mac cannot be reached by SSH, and `pulumi up` fails.",
      "System Settings → General → Sharing → Remote Login.",
    );
  },
});
