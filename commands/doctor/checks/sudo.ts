/** May the account that `pulumi up` signs in as become root? */
import { defineCheck, fail, ok } from "../check.ts";

export const sudo = defineCheck({
  name: "sudo",
  commands: () => ({ sudo: "sudo -n true" }),
  evaluate({ sudo: answer }, { mac: { user } }) {
    if (answer && !("unanswered" in answer) && answer.exitCode === 0)
      return ok(`${user} becomes root without a password`);
    return fail(
      `${user} cannot use \`sudo -n\``,
      "`pulumi up` cannot install anything, and some of these checks could not be made.",
      "Run on the Mac what `npm run ssh -- --prepare` prints.",
    );
  },
});
