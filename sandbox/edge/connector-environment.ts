/** How an unmodified cloudflared is led to the edge on loopback, without a flag of its own. */
import type { Edge } from "./edge.ts";

/**
 * The environment under which `cloudflared tunnel … run --token-file F` serves this edge instead of Cloudflare's.
 * Source of the names: cloudflared, `cmd/cloudflared/tunnel/cmd.go` and `subcommands.go`; HTTPS_PROXY and SSL_CERT_FILE
 * are Go's own and lead its check of Access tokens to the edge's key set. On macOS Go asks the system's keychain and
 * ignores SSL_CERT_FILE: there the authority must be trusted by the system for that check to work.
 */
export function connectorEnvironment(
  edge: Pick<Edge, "connectorAddress" | "proxyUrl" | "caFile">,
): Record<string, string> {
  return {
    // Twice: with one address cloudflared retries without a pause while the edge is not up.
    TUNNEL_EDGE: `${edge.connectorAddress},${edge.connectorAddress}`,
    TUNNEL_CACERT: edge.caFile,
    TUNNEL_TRANSPORT_PROTOCOL: "http2",
    TUNNEL_NO_PRECHECKS: "true",
    // Refused at once; an unanswered look-up would hold the start back for 30 s.
    TUNNEL_DNS_RESOLVER_ADDRS: "127.0.0.1:53",
    HTTPS_PROXY: edge.proxyUrl,
    NO_PROXY: "127.0.0.1,localhost",
    SSL_CERT_FILE: edge.caFile,
  };
}
