/** Can the model use the graphics processor? */
import { defineCheck, fail, ok, outputOf, unknown } from "../check.ts";
import { messagesIn } from "../messages.ts";

export const metal = defineCheck({
  name: "Metal",
  commands: () => ({ displays: "system_profiler SPDisplaysDataType" }),
  evaluate({ displays: answer }, context) {
    const say = messagesIn(context).metal;
    const text = outputOf(answer);
    if (text === undefined) return unknown(context, answer);
    const support = /^\s*Metal(?: Support| Family)?:\s*(.+)$/m.exec(text)?.[1];
    const model = /^\s*Chipset Model:\s*(.+)$/m.exec(text)?.[1];
    const cores = /^\s*Total Number of Cores:\s*(\d+)/m.exec(text)?.[1];
    const found = [model, cores && say.cores(cores), support].filter(Boolean).join(", ");
    if (support && !/not supported/i.test(support)) return ok(found);
    return fail(...say.no(found || say.none));
  },
});
