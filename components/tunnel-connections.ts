import * as pulumi from "@pulumi/pulumi";
import type { TunnelConnectionsInputs } from "./tunnel-connections-provider.ts";

/** Arguments of the wait for a tunnel's connections. */
export interface TunnelConnectionsArgs {
  readonly accountId: pulumi.Input<string>;
  readonly tunnelId: pulumi.Input<string>;
  /** The stack's `cloudflare:baseUrl`. @default Cloudflare's own */
  readonly baseUrl?: pulumi.Input<string> | undefined;
}

// As in ttl-collection.ts: Pulumi writes the text of these functions into the state, so they only lead to the module.
const load = async (): Promise<typeof import("./tunnel-connections-provider.ts")> =>
  import(`file://${process.cwd()}/components/tunnel-connections-provider.ts`);

const provider: pulumi.dynamic.ResourceProvider<TunnelConnectionsInputs, TunnelConnectionsInputs> = {
  diff: async (_id, olds, news) => (await load()).diff(olds, news),
  create: async (inputs) => ({ id: "connections", outs: inputs }),
  update: async (_id, _olds, news) => ({ outs: news }),
  delete: async (_id, state) => (await load()).remove(state),
};

/**
 * Nothing while the network is up. Its deletion, between that of the Mac's installation and that of the tunnel, waits until
 * Cloudflare counts no connection of the tunnel: otherwise `pulumi destroy` can end with error 1022.
 *
 * @example
 * const connections = new TunnelConnections("slm-connections", { accountId, tunnelId: tunnel.tunnelId });
 * new MacHost("slm-mac", { … }, { dependsOn: [connections] });
 */
export class TunnelConnections extends pulumi.dynamic.Resource {
  constructor(name: string, args: TunnelConnectionsArgs, opts?: pulumi.CustomResourceOptions) {
    super(provider, name, { ...args }, opts, "tunnel", "Connections");
  }
}
