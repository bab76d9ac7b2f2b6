/** Does the model server work on as many requests at once as the relay sends it? */
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { firstProcess, listenerOf, localModelPort } from "../commands.ts";

/** @see https://docs.ollama.com/faq#how-does-ollama-handle-concurrent-requests */
const ollamaDefault = 1;

export const modelSlots = defineCheck({
  name: "slots",
  commands({ model }) {
    const port = localModelPort(model);
    if (port === undefined) return {};
    const listener = listenerOf(port);
    return {
      listener,
      // The environment of a process may hold secrets: only this variable leaves the Mac.
      slots: `pid=$(${listener} | head -n 1) && [ -n "$pid" ] && sudo -n ps -E -ww -o command= -p "$pid" | tr ' ' '\\n' | grep -E '^OLLAMA_NUM_PARALLEL='`,
    };
  },
  evaluate(answers, { model, limits }) {
    const wanted = `limits.chat is ${limits.chat}`;
    if (model.kind !== "ollama" || localModelPort(model) === undefined) {
      return ok(`${wanted}; the model server's own limit is not visible from here`);
    }
    if (firstProcess(outputOf(answers.listener)) === undefined) return unknown(answers.listener);
    const set = /^OLLAMA_NUM_PARALLEL=(\d+)$/m.exec(outputOf(answers.slots) ?? "")?.[1];
    const slots = set === undefined ? ollamaDefault : Number(set);
    const found = `OLLAMA_NUM_PARALLEL is ${set ?? `not set, so ${ollamaDefault}`}; ${wanted}`;
    if (slots >= limits.chat) return ok(found);
    return warn(
      found,
      `Ollama works on ${slots} at once. The relay sends it ${limits.chat}; the rest wait in Ollama, where neither fairness nor waitSeconds applies.`,
      `Set OLLAMA_NUM_PARALLEL=${limits.chat} (model.service.env), or limits.chat: ${slots}. Each slot takes memory.`,
    );
  },
});
