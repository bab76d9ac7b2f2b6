/** Does a UPS shut the Mac down? */
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { messagesIn } from "../messages.ts";

export const ups = defineCheck({
  name: "UPS",
  commands: () => ({ ups: "pmset -g ups" }),
  evaluate({ ups: answer }, context) {
    const say = messagesIn(context).ups;
    const text = outputOf(answer);
    if (text === undefined) return unknown(context, answer);
    // Rows of name, on or off, value (show_ups_settings of pmset).
    const rows = [...text.matchAll(/^\s+(halt\w+)\s+(?:(on|off)\s+)?(\d+)/gm)];
    const on = rows.filter(([, , state, value]) => (state === undefined ? value !== "0" : state === "on"));
    if (on.length === 0) return ok(say.none);
    return warn(...say.shuts(on.map(([, name, , value]) => `${name} ${value}`).join(", ")));
  },
});
