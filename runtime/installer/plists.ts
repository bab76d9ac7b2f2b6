/** The LaunchDaemons, as text. https://www.manpagez.com/man/5/launchd.plist/ */
import { join } from "node:path";
import { build } from "plist";
import type { DirectLine } from "../direct-config.ts";
import type { InstallInput, ModelService } from "../install-input-schema.ts";
import { lineFiles, lineHost } from "./direct-files.ts";
import { type Layout, serviceUser } from "./layout.ts";

/** Account of a daemon. */
export interface Account {
  user: string;
  group: string;
  /** Its home, the daemon's working directory. */
  home: string;
}

/** A daemon of ours. */
export interface Daemon {
  label: string;
  /** Account it runs as. */
  user: string;
  /** Text of its plist. */
  plist: string;
  logFile: string;
  /** Seconds launchd waits between SIGTERM and SIGKILL. */
  exitTimeOut: number;
  /** Folder of its plist; default: the one macOS loads at boot. */
  plistFolder?: string;
}

/** A daemon that runs cloudflared. */
export interface Connector extends Daemon {
  /** Port of its metrics, `/ready` and `/config` on 127.0.0.1. */
  port: number;
  edgeIpVersion?: InstallInput["edgeIpVersion"];
}

/** Seconds that launchd waits beyond the program's own grace period. */
const margin = 5;
/** Grace period in seconds when a connector is unloaded or the Mac shuts down; a handover waits longer by itself. */
const connectorGrace = 30;
/** cloudflared's longest grace period: a handover may need it for a long response. */
const drainGrace = "3m";

interface Traits {
  logName?: string;
  keepAlive?: boolean;
  account?: Account;
  environment?: Record<string, string>;
  workingDirectory?: string | undefined;
  throttleSeconds?: number;
}

function daemon(
  paths: Layout,
  name: string,
  programArguments: string[],
  graceSeconds: number,
  { logName = name, keepAlive = true, throttleSeconds = 2, ...traits }: Traits = {},
): Daemon {
  const label = `local.slm-network.${name}`;
  const { user, group, home } = traits.account ?? { user: serviceUser, group: serviceUser, home: paths.data };
  const logFile = join(paths.logs, `${logName}.log`);
  const exitTimeOut = graceSeconds + margin;
  return {
    label,
    logFile,
    exitTimeOut,
    user,
    plist: build({
      Label: label,
      ProgramArguments: programArguments,
      UserName: user,
      GroupName: group,
      WorkingDirectory: traits.workingDirectory ?? home,
      // launchd sets neither for a daemon.
      EnvironmentVariables: { HOME: home, PATH: "/usr/bin:/bin:/usr/sbin:/sbin", ...traits.environment },
      // At boot, without a login; and again whenever it exits.
      RunAtLoad: true,
      KeepAlive: keepAlive,
      // The default of 10 s would mean 10 s of downtime after a crash.
      ThrottleInterval: throttleSeconds,
      // Longer than the program's grace period; the default of 5 s (as `launchctl print` shows) would cut long responses.
      ExitTimeOut: exitTimeOut,
      // By default launchd throttles a daemon's CPU and disk as background work.
      ProcessType: "Interactive",
      Umask: 0o027,
      // One descriptor for each side of a request, and some for files; the default is 256.
      SoftResourceLimits: { NumberOfFiles: 8192 },
      HardResourceLimits: { NumberOfFiles: 8192 },
      StandardOutPath: logFile,
      StandardErrorPath: logFile,
    }),
  };
}

/** V8 memory flags of the relay. */
export const RELAY_NODE_FLAGS: readonly string[] = [
  // 16 MB a half. With 8, a request in flight can outlive two collections under full load (64 connections): it is promoted,
  // with later requests that it keeps alive. Measured: 7 KB of each request instead of 0.5, over twice the CPU time for
  // garbage collection, and a heap that grows to 150 MB before it is collected instead of 30.
  "--max-semi-space-size=16",
  // So small a generation is collected faster by one thread than shared out among several.
  "--no-parallel-scavenge",
  "--v8-pool-size=1",
  // For `compactHeap`.
  "--expose-gc",
];

/**
 * The relay's daemon. It waits for its port while another relay still has it, so that one can replace the other.
 * @param temporary makes it a temporary instance beside the first: own admin port, plist elsewhere, not restarted
 */
export function relayDaemon(
  paths: Layout,
  graceSeconds: number,
  temporary?: { adminPort: number; plistFolder: string },
): Daemon {
  const node = join(paths.current, "bin/node");
  const program = join(paths.current, "relay.mjs");
  const files = ["--config", paths.relayConfig, "--secrets", paths.relaySecrets];
  const words = [node, ...RELAY_NODE_FLAGS, program, ...files, "--take-over"];
  if (!temporary) return daemon(paths, "relay", words, graceSeconds);
  const { adminPort, plistFolder } = temporary;
  const second = [...words, "--admin-port", String(adminPort)];
  return {
    ...daemon(paths, "relay-stand-in", second, graceSeconds, { logName: "relay", keepAlive: false }),
    plistFolder,
  };
}

/**
 * cloudflared's daemon: our own plist, since `cloudflared service install` wrote the token world-readable. The token is
 * read from a file, not from the command line, which `ps` shows. Self-updates are off.
 */
export function connectorDaemon(
  paths: Layout,
  metricsPort: number,
  {
    name = "connector",
    plistFolder,
    keepAlive,
    edgeIpVersion,
  }: {
    name?: string;
    plistFolder?: string;
    keepAlive?: boolean;
    /** IP version of its connections to Cloudflare. @default 4, cloudflared's own */
    edgeIpVersion?: InstallInput["edgeIpVersion"];
  } = {},
): Connector {
  const program = [
    join(paths.current, "bin/cloudflared"),
    "tunnel",
    "--no-autoupdate",
    ...(edgeIpVersion ? ["--edge-ip-version", edgeIpVersion] : []),
    "--metrics",
    `127.0.0.1:${metricsPort}`,
    "--grace-period",
    drainGrace,
    "run",
    "--token-file",
    paths.connectorToken,
  ];
  return {
    ...daemon(paths, name, program, connectorGrace, { logName: "connector", keepAlive }),
    port: metricsPort,
    ...(edgeIpVersion && { edgeIpVersion }),
    ...(plistFolder && { plistFolder }),
  };
}

/** Grace period of a model server in seconds: it may have gigabytes to free. */
const modelGrace = 20;

/**
 * The model server's daemon. Metal works there without a login (seen on an M4 Pro, macOS 26.5).
 * A model takes long to load, so a crashing server is not restarted every 2 s.
 */
export function modelDaemon(paths: Layout, service: ModelService, account: Account): Daemon {
  const { program, args, env: environment, workingDirectory } = service;
  return daemon(paths, "model", [program, ...args], modelGrace, {
    account,
    environment,
    workingDirectory,
    throttleSeconds: 10,
  });
}

/** The same daemon for its removal, when its program is no longer known. */
export function removedModelDaemon(paths: Layout): Daemon {
  return daemon(paths, "model", ["/usr/bin/false"], modelGrace);
}

/** Grace period of `ssh` in seconds: it exits at once. */
const sshGrace = 5;

/**
 * The daemon of a direct line: macOS's own `ssh`, which connects to the caller's server and forwards a port there to the
 * relay. launchd restarts it whenever the connection ends, at most every 10 s.
 */
export function directDaemon(paths: Layout, line: DirectLine): Daemon {
  const { config } = lineFiles(paths, line.server);
  const forward = `${line.listen}:127.0.0.1:${line.relayPort}`;
  const program = ["/usr/bin/ssh", "-F", config, "-N", "-T", "-R", forward, lineHost];
  return lineDaemon(paths, line.server, program);
}

/** The same daemon for its removal, when its line is no longer known. */
export const removedDirectDaemon = (paths: Layout, server: string): Daemon =>
  lineDaemon(paths, server, ["/usr/bin/false"]);

const lineDaemon = (paths: Layout, server: string, program: string[]): Daemon =>
  daemon(paths, `direct.${server}`, program, sshGrace, { logName: `direct-${server}`, throttleSeconds: 10 });
