/** Is there room for jobs, logs and updates? */
import { defineCheck, fail, ok, outputOf, unknown, warn } from "../check.ts";
import { root } from "../commands.ts";
import { size } from "../units.ts";

/** With less free, an update of a model or of macOS soon fails. */
const lowKib = 20 * 1024 * 1024;

export const disk = defineCheck({
  name: "disk",
  commands: () => ({ df: `df -Pk ${root}/private/var/db` }),
  evaluate({ df }, { jobs }) {
    const row = (outputOf(df) ?? "").trim().split("\n").at(-1) ?? "";
    const [, total, free] = /\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s/.exec(row) ?? [];
    if (total === undefined || free === undefined) return unknown(df);
    const found = `${size(Number(free))} free of ${size(Number(total))}`;
    const todo = "Delete what is not needed. Models are the large files (`ollama list`, `ollama rm <model>`).";
    if (Number(free) < jobs.minFreeMiB * 1024) {
      const limit = size(jobs.minFreeMiB * 1024);
      return fail(found, `Below ${limit} (jobs.minFreeMiB) new jobs are refused: callers get 507 disk_low.`, todo);
    }
    return Number(free) < lowKib ? warn(found, "The disk is filling up.", todo) : ok(found);
  },
});
