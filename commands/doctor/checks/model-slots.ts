/** Does the model server work on as many requests at once as the relay sends it? */
import { z } from "zod";
import { withoutSlash } from "../../../runtime/base-url.ts";
import { modelServer } from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { curl, firstProcess, listenerOf, localModelPort } from "../commands.ts";
import { parseJson } from "../json.ts";
import { messagesIn } from "../messages.ts";

/** llama-server's `GET /props`. */
const propsSchema = z.looseObject({ total_slots: z.int().min(1) });

export const modelSlots = defineCheck({
  name: "slots",
  commands({ model }) {
    const port = localModelPort(model);
    const { parallel, slotsPath } = modelServer(model.kind);
    const props = slotsPath === undefined ? {} : { props: `${curl} ${quote(withoutSlash(model.url) + slotsPath)}` };
    if (port === undefined || parallel === undefined) return props;
    const listener = listenerOf(port);
    return {
      ...props,
      listener,
      // The environment of a process may hold secrets: only this variable leaves the Mac.
      slots: `pid=$(${listener} | head -n 1) && [ -n "$pid" ] && sudo -n ps -E -ww -o command= -p "$pid" | tr ' ' '\\n' | grep -E '^${parallel.variable}='`,
    };
  },
  evaluate(answers, context) {
    const { model, limits } = context;
    const say = messagesIn(context).modelSlots;
    const { chat, chatAuto } = limits;
    const wanted = say.wanted(chat, chatAuto);
    const own = parseJson(propsSchema, outputOf(answers.props))?.total_slots;
    if (own !== undefined) {
      const found = say.own(own, wanted);
      if (own >= chat) return ok(found);
      return warn(...say.ownFewer(found, chat, own));
    }
    const { parallel, title } = modelServer(model.kind);
    if (parallel === undefined || localModelPort(model) === undefined) {
      return ok(say.invisible(wanted));
    }
    if (firstProcess(outputOf(answers.listener)) === undefined) return unknown(context, answers.listener);
    const { variable, unset } = parallel;
    const set = new RegExp(`^${variable}=(\\d+)$`, "m").exec(outputOf(answers.slots) ?? "")?.[1];
    const slots = set === undefined ? unset : Number(set);
    const found = say.variable(variable, set, unset, wanted);
    if (slots >= limits.chat) return ok(found);
    return warn(...say.fewer(found, title, slots, limits.chat, variable));
  },
});
