/** Where the Mac's SSH is while the way through the tunnel is open (`npm run ssh -- --through-tunnel --here`). */

/**
 * @param text of SLM_NETWORK_SSH_AT, e.g. `127.0.0.1:2222`
 * @throws Error when it is not an address of this machine: a variable must not redirect a session
 */
export function parseLocalEndpoint(text: string): { host: string; port: number } {
  const [, host, port] = /^(127\.0\.0\.1|localhost):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65535) {
    throw new Error(`SLM_NETWORK_SSH_AT is ${JSON.stringify(text)}: it must be 127.0.0.1:<port>; unset it otherwise`);
  }
  return { host, port: Number(port) };
}
