/**
 * The sandbox's edge, a process of its own: the attack's load on it must not delay what measures. Two hostnames lead through
 * the same tunnel, with the same Access check: the relay, and beside it the model server directly (the control).
 */
import { randomUUID } from "node:crypto";
import { startEdge } from "../../../sandbox/edge/edge.ts";
import { application, TestAccount } from "../../sandbox/edge/account.ts";
import { CONTROL_HOST, type EdgeReady, HOST, TOKENS, type ToEdge, type ToKeys } from "./messages.ts";

const dir = process.argv[2] ?? "";
const account = new TestAccount();
for (const { clientId, secret, tokenId } of Object.values(TOKENS)) account.tokens.set(clientId, { secret, tokenId });
const rule = { exclude: [], require: [] };
const include = Object.values(TOKENS).map(({ tokenId }) => ({ service_token: { token_id: tokenId } }));
const servers = application({
  destinations: [HOST, CONTROL_HOST],
  policies: [{ id: randomUUID(), name: "servers", decision: "non_identity", include, ...rule }],
});
account.applications.push(servers);
const tunnel = account.declareTunnel(HOST, [{ service: "http_status:404" }]);
account.records.set(CONTROL_HOST, tunnel);
const edge = await startEdge({ view: account, dir, ports: { connector: 0, client: 0, proxy: 0 }, log: () => {} });

const access = { required: true, teamName: "example-team", audTag: [servers.aud] };
const routed = async ({ relayUrl, modelUrl, wait = true }: ToEdge): Promise<void> => {
  account.configure(tunnel, [
    { hostname: HOST, service: relayUrl, originRequest: { access } },
    { hostname: CONTROL_HOST, service: modelUrl, originRequest: { access } },
    { service: "http_status:404" },
  ]);
  if (wait) await edge.routed(tunnel);
  process.send?.("routed");
};
const keys = async ({ keys: answers, rotate }: ToKeys): Promise<void> => {
  edge.setKeyAddress(answers);
  if (rotate) await edge.rotateKeys();
  process.send?.("done");
};
process.on("message", (message: ToEdge | ToKeys) => void ("keys" in message ? keys(message) : routed(message)));
process.on("disconnect", () => process.exit());
process.send?.({
  url: edge.url,
  connectorAddress: edge.connectorAddress,
  proxyUrl: edge.proxyUrl,
  caFile: edge.caFile,
  connectorToken: account.connectorToken(tunnel),
  teamDomain: account.teamDomain(),
  audience: servers.aud,
} satisfies EdgeReady);
