/** Does the model server work on as many requests at once as the relay sends it? */
import { z } from "zod";
import { modelServer, serverUrl } from "../../../runtime/model-servers.ts";
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { curl, firstProcess, listenerOf, localModelPort } from "../commands.ts";
import { parseJson } from "../json.ts";

/** llama-server's `GET /props`. */
const propsSchema = z.looseObject({ total_slots: z.int().min(1) });

export const modelSlots = defineCheck({
  name: "slots",
  commands({ model }) {
    const port = localModelPort(model);
    const { parallel, slotsPath } = modelServer(model.kind);
    const props = slotsPath === undefined ? {} : { props: `${curl} ${quote(serverUrl(model.url) + slotsPath)}` };
    if (port === undefined || parallel === undefined) return props;
    const listener = listenerOf(port);
    return {
      ...props,
      listener,
      // The environment of a process may hold secrets: only this variable leaves the Mac.
      slots: `pid=$(${listener} | head -n 1) && [ -n "$pid" ] && sudo -n ps -E -ww -o command= -p "$pid" | tr ' ' '\\n' | grep -E '^${parallel.variable}='`,
    };
  },
  evaluate(answers, { model, limits }) {
    const { chat, chatAuto } = limits;
    const wanted = `limits.chat is ${chatAuto ? `auto, ${chatAuto.min} to ${chatAuto.max}` : chat}`;
    const own = parseJson(propsSchema, outputOf(answers.props))?.total_slots;
    if (own !== undefined) {
      const found = `the model server works on ${own} at once (--parallel); ${wanted}`;
      if (own >= chat) return ok(found);
      return warn(
        found,
        `The relay sends it ${chat}; the rest wait there, where neither fairness nor waitSeconds applies.`,
        `Start it with --parallel ${chat} (and as many times the --ctx-size), or set limits.chat: ${own}.`,
      );
    }
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
