/** Checks of the SSH entry through the tunnel, made before anything is declared. */
import { hostnameProblem } from "./route-check.ts";

/** The part of the config that it is judged by. */
export interface SshConfig {
  readonly hostname: string;
  readonly route: { readonly saasHostname?: string | undefined };
  readonly access: { readonly servers: readonly { readonly name: string; readonly enabled: boolean }[] };
  readonly macs: readonly {
    readonly sshThroughTunnel?: { readonly hostname: string; readonly servers: readonly string[] } | undefined;
  }[];
}

/** @returns every problem, with the value, why and what can be done instead */
export function sshProblems(config: SshConfig, zoneName: string): string[] {
  const taken = new Map([
    [config.hostname, "slm-network:hostname"],
    [config.route.saasHostname ?? "", "slm-network:route.saasHostname"],
  ]);
  return config.macs.flatMap(({ sshThroughTunnel }, index) => {
    if (!sshThroughTunnel) return [];
    const at = `slm-network:macs[${index}].sshThroughTunnel`;
    const { hostname, servers } = sshThroughTunnel;
    const zoneProblem = hostnameProblem(hostname, zoneName)
      ?.replace("slm-network:hostname", `${at}.hostname`)
      .replaceAll("use e.g. slm.", "use e.g. ssh.");
    const other = taken.get(hostname);
    taken.set(hostname, `${at}.hostname`);
    const nameProblem =
      other !== undefined
        ? `${at}.hostname: ${JSON.stringify(hostname)} is already ${other}: anyone who may call there would reach the Mac's SSH. Use a name of its own, e.g. ssh.${zoneName}`
        : undefined;
    const unknown = servers.flatMap((server) => {
      const found = config.access.servers.find(({ name }) => name === server);
      if (found?.enabled) return [];
      const known = config.access.servers.map(({ name }) => name).join(", ");
      const why = found ? "is switched off (enabled: false)" : `is not in access.servers, which has ${known}`;
      return [`${at}.servers: ${JSON.stringify(server)} ${why}: name one that may call, or remove it`];
    });
    return [zoneProblem, nameProblem, ...unknown].filter((problem) => problem !== undefined);
  });
}
