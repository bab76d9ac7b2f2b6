/** Is cloudflared connected to Cloudflare, and where? */
import { z } from "zod";
import { defineCheck, fail, ok, outputOf, warn } from "../check.ts";
import { curl, tailOf } from "../commands.ts";
import { parseJson } from "../json.ts";
import { messagesIn } from "../messages.ts";

const readySchema = z.object({ readyConnections: z.int() });
const firewallPage =
  "https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/configure-tunnels/tunnel-with-firewall/";

export const tunnel = defineCheck({
  name: "tunnel",
  commands: ({ mac: { ports } }) => ({
    ready: `${curl} http://127.0.0.1:${ports.connector}/ready`,
    locations: `${curl} http://127.0.0.1:${ports.connector}/metrics | grep '^cloudflared_tunnel_server_locations'`,
  }),
  evaluate({ ready, locations }, context) {
    const { expectColo } = context;
    const say = messagesIn(context).tunnel;
    const log = tailOf("connector.log");
    const state = parseJson(readySchema, outputOf(ready));
    if (!state) {
      return fail(...say.notRunning(log));
    }
    if (state.readyConnections === 0) {
      return fail(...say.notConnected(log, firewallPage));
    }
    const lines = (outputOf(locations) ?? "").matchAll(/edge_location="(\w+)"\} 1$/gm);
    const colos = [...new Set([...lines].map(([, location = ""]) => location.slice(0, 3).toUpperCase()))];
    const found = say.connections(state.readyConnections, colos.join(", "));
    const elsewhere = expectColo.length > 0 && colos.length > 0 && !colos.some((colo) => expectColo.includes(colo));
    if (!elsewhere) return ok(found);
    return warn(...say.elsewhere(found, expectColo.join(", ")));
  },
});
