/** Is the relay ready to serve? */
import { z } from "zod";
import { defineCheck, fail, ok, outputOf } from "../check.ts";
import { curl, splitStatus, tailOf } from "../commands.ts";
import { parseJson } from "../json.ts";
import { duration } from "../units.ts";

const detailsSchema = z.object({ uptimeSeconds: z.number(), draining: z.boolean() });

export const relay = defineCheck({
  name: "relay",
  commands: ({ mac: { ports } }) => ({
    ready: `${curl} -w '\\n%{http_code}' http://127.0.0.1:${ports.relay}/readyz`,
    details: `${curl} http://127.0.0.1:${ports.admin}/details`,
  }),
  evaluate({ ready, details }) {
    const text = outputOf(ready);
    if (text === undefined) {
      return fail(
        "does not answer",
        "Callers get 502.",
        `Was it installed? \`pulumi up\`. Otherwise see its log: ${tailOf("relay.log")}.`,
      );
    }
    const { status } = splitStatus(text);
    const state = parseJson(detailsSchema, outputOf(details));
    const uptime = state ? `, up for ${duration(state.uptimeSeconds)}` : "";
    if (status === "200") return ok(`ready${uptime}`);
    return fail(
      `answers ${status}: not ready${state?.draining ? " (it is shutting down)" : ""}${uptime}`,
      "Requests are refused.",
      `${tailOf("relay.log")} says why; \`curl -s 127.0.0.1:<ports.admin>/details\` on the Mac shows its state.`,
    );
  },
});
