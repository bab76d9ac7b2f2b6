/** Does the Mac go to sleep? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { powerSettings } from "../commands.ts";
import { messagesIn } from "../messages.ts";
import { readPmset } from "../pmset.ts";

export const sleep = defineCheck({
  name: "sleep",
  commands: () => ({ power: powerSettings }),
  evaluate({ power }, context) {
    const say = messagesIn(context).sleep;
    const minutes = readPmset(outputOf(power) ?? "").get("sleep");
    if (minutes === undefined) return unknown(context, power);
    if (minutes === "0") return ok(say.never);
    return fail(...say.after(minutes));
  },
});
