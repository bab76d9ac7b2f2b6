/** How an unmodified cloudflared reaches the edge on loopback, without flags. */
import type { Edge } from "./edge.ts";

/**
 * The environment under which `cloudflared tunnel … run --token-file F` serves this edge instead of Cloudflare's.
 * Source of the names: cloudflared, `cmd/cloudflared/tunnel/cmd.go` and `subcommands.go`; HTTPS_PROXY and SSL_CERT_FILE
 * are Go's and direct its check of Access tokens to the edge's key set. On macOS Go uses the system's keychain and ignores
 * SSL_CERT_FILE: the check works only if the system trusts the authority.
 */
export function connectorEnvironment(
  edge: Pick<Edge, "connectorAddress" | "proxyUrl" | "caFile">,
): Record<string, string> {
  return {
    // Listed twice: with one address cloudflared retries without a pause while the edge is down.
    TUNNEL_EDGE: `${edge.connectorAddress},${edge.connectorAddress}`,
    TUNNEL_CACERT: edge.caFile,
    TUNNEL_TRANSPORT_PROTOCOL: "http2",
    TUNNEL_NO_PRECHECKS: "true",
    // Refused at once; an unanswered lookup would delay the start by 30 s.
    TUNNEL_DNS_RESOLVER_ADDRS: "127.0.0.1:53",
    HTTPS_PROXY: edge.proxyUrl,
    NO_PROXY: "127.0.0.1,localhost",
    SSL_CERT_FILE: edge.caFile,
  };
}
