/** Is there room for jobs, logs and updates? */
import { defineCheck, fail, ok, outputOf, unknown, warn } from "../check.ts";
import { root } from "../commands.ts";
import { messagesIn } from "../messages.ts";
import { size } from "../units.ts";

/** With less free, an update of a model or of macOS soon fails. */
const lowKib = 20 * 1024 * 1024;

export const disk = defineCheck({
  name: "disk",
  commands: () => ({ df: `df -Pk ${root}/private/var/db` }),
  evaluate({ df }, context) {
    const { jobs } = context;
    const say = messagesIn(context).disk;
    const row = (outputOf(df) ?? "").trim().split("\n").at(-1) ?? "";
    const [, total, free] = /\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s/.exec(row) ?? [];
    if (total === undefined || free === undefined) return unknown(context, df);
    const found = say.found(size(Number(free)), size(Number(total)));
    if (Number(free) < jobs.minFreeMiB * 1024) {
      const limit = size(jobs.minFreeMiB * 1024);
      return fail(found, say.full(limit), say.todo);
    }
    return Number(free) < lowKib ? warn(found, say.low, say.todo) : ok(found);
  },
});
