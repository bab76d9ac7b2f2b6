/** Does the Mac go to sleep? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { powerSettings } from "../commands.ts";
import { readPmset } from "../pmset.ts";

export const sleep = defineCheck({
  name: "sleep",
  commands: () => ({ power: powerSettings }),
  evaluate({ power }) {
    const minutes = readPmset(outputOf(power) ?? "").get("sleep");
    if (minutes === undefined) return unknown(power);
    if (minutes === "0") return ok("never");
    return fail(
      `after ${minutes} min of inactivity`,
      "A sleeping Mac serves nobody: callers get 530 until somebody wakes it.",
      "`pulumi up` sets it. By hand: `sudo pmset -a sleep 0`, or System Settings → Energy → Prevent automatic sleeping.",
    );
  },
});
