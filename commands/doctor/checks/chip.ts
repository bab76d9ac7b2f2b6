/** Is it Apple silicon, which Node and cloudflared are installed for? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { size } from "../units.ts";

export const chip = defineCheck({
  name: "chip",
  commands: () => ({ chip: "uname -m; sysctl -n machdep.cpu.brand_string hw.memsize" }),
  evaluate({ chip: answer }) {
    const [machine, brand, memory] = (outputOf(answer) ?? "").trim().split("\n");
    if (!machine || !brand) return unknown(answer);
    const bytes = Number(memory);
    const found = `${brand}${bytes > 0 ? `, ${size(bytes / 1024)} of memory` : ""}`;
    if (machine === "arm64") return ok(found);
    return fail(
      `${found} (${machine})`,
      "Node and cloudflared are installed for Apple silicon.",
      "Set artifacts.node and artifacts.cloudflared in the stack's config to builds for this chip.",
    );
  },
});
