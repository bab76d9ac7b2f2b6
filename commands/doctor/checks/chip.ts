/** Is it Apple silicon, which Node and cloudflared are installed for? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { messagesIn } from "../messages.ts";
import { size } from "../units.ts";

export const chip = defineCheck({
  name: "chip",
  commands: () => ({ chip: "uname -m; sysctl -n machdep.cpu.brand_string hw.memsize" }),
  evaluate({ chip: answer }, context) {
    const say = messagesIn(context).chip;
    const [machine, brand, memory] = (outputOf(answer) ?? "").trim().split("\n");
    if (!machine || !brand) return unknown(context, answer);
    const bytes = Number(memory);
    const found = `${brand}${bytes > 0 ? `, ${say.memory(size(bytes / 1024))}` : ""}`;
    if (machine === "arm64") return ok(found);
    return fail(...say.other(`${found} (${machine})`));
  },
});
