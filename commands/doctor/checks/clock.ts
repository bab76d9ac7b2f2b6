/** Does the Mac's clock agree with this machine's? Access's tokens carry a time. */
import { defineCheck, fail, ok, outputOf, unknown, warn } from "../check.ts";
import { messagesIn } from "../messages.ts";

/** The relay accepts a token that is this much too old or too new (runtime/relay/access/). */
const toleranceSeconds = 30;
/** A smaller difference is not worth a warning. */
const fineSeconds = 5;

export const clock = defineCheck({
  name: "clock",
  alone: true, // other commands at the same time would make the interval longer
  commands: () => ({ date: "date +%s" }),
  evaluate({ date: answer }, context) {
    const say = messagesIn(context).clock;
    const seconds = Number((outputOf(answer) ?? "").trim() || Number.NaN);
    if (!answer || "unanswered" in answer || !Number.isInteger(seconds)) return unknown(context, answer);
    const { startedAt = Date.now(), endedAt = Date.now() } = answer;
    // The Mac printed the beginning of a second, at some moment of the interval.
    const behind = startedAt / 1000 - (seconds + 1);
    const ahead = seconds - endedAt / 1000;
    const off = Math.max(0, Math.ceil(Math.max(behind, ahead)));
    const found = off === 0 ? say.same : ahead > behind ? say.ahead(off) : say.behind(off);
    if (off <= fineSeconds) return ok(found);
    const conclude = off > toleranceSeconds ? fail : warn;
    return conclude(...say.off(found, toleranceSeconds));
  },
});
