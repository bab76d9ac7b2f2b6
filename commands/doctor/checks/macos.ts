/** Is macOS recent enough for Node 24? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { messagesIn } from "../messages.ts";

/** @see https://github.com/nodejs/node/blob/v24.x/BUILDING.md#platform-list */
const oldest = [13, 5] as const;

export const macos = defineCheck({
  name: "macOS",
  commands: () => ({ version: "sw_vers" }),
  evaluate({ version: answer }, context) {
    const text = outputOf(answer) ?? "";
    const version = /^ProductVersion:\s*(\S+)/m.exec(text)?.[1];
    if (version === undefined) return unknown(context, answer);
    const build = /^BuildVersion:\s*(\S+)/m.exec(text)?.[1];
    const found = `${version}${build ? ` (${build})` : ""}`;
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return ok(found);
    return fail(...messagesIn(context).macos.old(found, oldest.join(".")));
  },
});
