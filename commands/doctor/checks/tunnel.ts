/** Is cloudflared connected to Cloudflare, and where? */
import { z } from "zod";
import { defineCheck, fail, ok, outputOf, warn } from "../check.ts";
import { curl, tailOf } from "../commands.ts";
import { parseJson } from "../json.ts";

const readySchema = z.object({ readyConnections: z.int() });
const firewallPage =
  "https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/configure-tunnels/tunnel-with-firewall/";

export const tunnel = defineCheck({
  name: "tunnel",
  commands: ({ mac: { ports } }) => ({
    ready: `${curl} http://127.0.0.1:${ports.connector}/ready`,
    locations: `${curl} http://127.0.0.1:${ports.connector}/metrics | grep '^cloudflared_tunnel_server_locations'`,
  }),
  evaluate({ ready, locations }, { expectColo }) {
    const state = parseJson(readySchema, outputOf(ready));
    if (!state) {
      return fail(
        "cloudflared is not running",
        "Nothing gets through from outside: callers get 530.",
        `Was it installed? \`pulumi up\`. Otherwise see its log: ${tailOf("connector.log")}.`,
      );
    }
    if (state.readyConnections === 0) {
      return fail(
        "cloudflared is running without a connection to Cloudflare",
        "Callers get 530. The office's line is down, a firewall blocks port 7844, the token is no longer valid, or the tunnel was deleted in the dashboard (`npm run preflight` checks that).",
        `${tailOf("connector.log")} says which. What cloudflared needs of a firewall: ${firewallPage}`,
      );
    }
    const lines = (outputOf(locations) ?? "").matchAll(/edge_location="(\w+)"\} 1$/gm);
    const colos = [...new Set([...lines].map(([, location = ""]) => location.slice(0, 3).toUpperCase()))];
    const found = `${state.readyConnections} connections${colos.length > 0 ? `, at ${colos.join(", ")}` : ""}`;
    const elsewhere = expectColo.length > 0 && colos.length > 0 && !colos.some((colo) => expectColo.includes(colo));
    if (!elsewhere) return ok(found);
    return warn(
      found,
      `No connection is at ${expectColo.join(", ")} (route.expectColo): the office's provider routes elsewhere.`,
      "cloudflared picks the nearest locations itself; ask the office's provider about its route to Cloudflare. `npm run probe` measures the callers' side.",
    );
  },
});
