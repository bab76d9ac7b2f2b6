/** Can the model use the graphics processor? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";

export const metal = defineCheck({
  name: "Metal",
  commands: () => ({ displays: "system_profiler SPDisplaysDataType" }),
  evaluate({ displays: answer }) {
    const text = outputOf(answer);
    if (text === undefined) return unknown(answer);
    const support = /^\s*Metal(?: Support| Family)?:\s*(.+)$/m.exec(text)?.[1];
    const model = /^\s*Chipset Model:\s*(.+)$/m.exec(text)?.[1];
    const cores = /^\s*Total Number of Cores:\s*(\d+)/m.exec(text)?.[1];
    const found = [model, cores && `${cores} cores`, support].filter(Boolean).join(", ");
    if (support && !/not supported/i.test(support)) return ok(found);
    return fail(
      found || "no graphics processor",
      "The model runs on the CPU alone, many times slower.",
      "A virtual machine has no Metal. On a real Mac restart it, then check Apple menu → About This Mac → More Info → System Report → Graphics.",
    );
  },
});
