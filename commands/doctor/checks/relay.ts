/** Is the relay ready to serve? */
import { z } from "zod";
import { splitStatus } from "../../curl-output.ts";
import { defineCheck, fail, ok, outputOf } from "../check.ts";
import { curl, tailOf } from "../commands.ts";
import { parseJson } from "../json.ts";
import { messagesIn } from "../messages.ts";

const detailsSchema = z.object({ uptimeSeconds: z.number(), draining: z.boolean() });

export const relay = defineCheck({
  name: "relay",
  commands: ({ mac: { ports } }) => ({
    ready: `${curl} -w '\\n%{http_code}' http://127.0.0.1:${ports.relay}/readyz`,
    details: `${curl} http://127.0.0.1:${ports.admin}/details`,
  }),
  evaluate({ ready, details }, context) {
    const say = messagesIn(context).relay;
    const log = tailOf("relay.log");
    const text = outputOf(ready);
    if (text === undefined) {
      return fail(...say.silent(log));
    }
    const { status } = splitStatus(text);
    const state = parseJson(detailsSchema, outputOf(details));
    const uptime = state ? say.uptime(state.uptimeSeconds) : "";
    if (status === "200") return ok(say.ready(uptime));
    return fail(...say.notReady(status, state?.draining === true, uptime, log));
  },
});
