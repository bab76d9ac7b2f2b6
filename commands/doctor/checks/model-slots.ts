/** Does the model server work on as many requests at once as the relay sends it? */
import { modelServer } from "../../../runtime/model-servers.ts";
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { firstProcess, listenerOf, localModelPort } from "../commands.ts";

export const modelSlots = defineCheck({
  name: "slots",
  commands({ model }) {
    const port = localModelPort(model);
    const { parallel } = modelServer(model.kind);
    if (port === undefined || parallel === undefined) return {};
    const listener = listenerOf(port);
    return {
      listener,
      // The environment of a process may hold secrets: only this variable leaves the Mac.
      slots: `pid=$(${listener} | head -n 1) && [ -n "$pid" ] && sudo -n ps -E -ww -o command= -p "$pid" | tr ' ' '\\n' | grep -E '^${parallel.variable}='`,
    };
  },
  evaluate(answers, { model, limits }) {
    const wanted = `limits.chat is ${limits.chat}`;
    const { parallel, title } = modelServer(model.kind);
    if (parallel === undefined || localModelPort(model) === undefined) {
      return ok(`${wanted}; the model server's own limit is not visible from here`);
    }
    if (firstProcess(outputOf(answers.listener)) === undefined) return unknown(answers.listener);
    const { variable, unset } = parallel;
    const set = new RegExp(`^${variable}=(\\d+)$`, "m").exec(outputOf(answers.slots) ?? "")?.[1];
    const slots = set === undefined ? unset : Number(set);
    const found = `${variable} is ${set ?? `not set, so ${unset}`}; ${wanted}`;
    if (slots >= limits.chat) return ok(found);
    return warn(
      found,
      `${title} works on ${slots} at once. The relay sends it ${limits.chat}; the rest wait there, where neither fairness nor waitSeconds applies.`,
      `Set ${variable}=${limits.chat} (model.service.env), or limits.chat: ${slots}. Each slot takes memory.`,
    );
  },
});
