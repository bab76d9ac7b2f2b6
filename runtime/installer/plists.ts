/** The LaunchDaemons, as text. https://www.manpagez.com/man/5/launchd.plist/ */
import { join } from "node:path";
import { build } from "plist";
import type { ModelService } from "../config.ts";
import { type Layout, serviceUser } from "./layout.ts";

/** Whom a daemon runs as. */
export interface Account {
  user: string;
  group: string;
  /** Its home, where the daemon starts. */
  home: string;
}

/** A daemon of ours. */
export interface Daemon {
  label: string;
  /** Whom it runs as. */
  user: string;
  /** Text of its plist. */
  plist: string;
  logFile: string;
  /** Seconds launchd waits between SIGTERM and SIGKILL. */
  exitTimeOut: number;
  /** Where its plist lies; by default where macOS loads it from at boot. */
  plistFolder?: string;
}

/** A daemon that runs cloudflared. */
export interface Connector extends Daemon {
  /** Port of its metrics, `/ready` and `/config` on 127.0.0.1. */
  port: number;
}

/** Seconds by which launchd waits longer than the program promises to take. */
const margin = 5;
/** Seconds a connector gets when it is unloaded or the Mac shuts down; a hand-over waits longer, by itself. */
const connectorGrace = 30;
/** cloudflared's longest grace for running requests: what a hand-over may need for a long answer. */
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
      // launchd gives a daemon neither.
      EnvironmentVariables: { HOME: home, PATH: "/usr/bin:/bin:/usr/sbin:/sbin", ...traits.environment },
      // At boot, with nobody signed in; and again whenever it ends, however it ended.
      RunAtLoad: true,
      KeepAlive: keepAlive,
      // The default of 10 s would be 10 s without service after a crash.
      ThrottleInterval: throttleSeconds,
      // Longer than the program takes to finish what runs; its own 5 s (as `launchctl print` shows) would cut long answers.
      ExitTimeOut: exitTimeOut,
      // Left out, launchd slows a daemon's CPU and disk down as background work.
      ProcessType: "Interactive",
      Umask: 0o027,
      // One descriptor for each side of a request and some for files; the default is 256.
      SoftResourceLimits: { NumberOfFiles: 8192 },
      HardResourceLimits: { NumberOfFiles: 8192 },
      StandardOutPath: logFile,
      StandardErrorPath: logFile,
    }),
  };
}

/** How V8 manages the relay's memory, and its thread's. */
export const RELAY_NODE_FLAGS: readonly string[] = [
  // The young generation grows to 48 MB by default, for which a proxy has no use: 8 MB a half. With 4, requests in flight
  // outlive two collections under full load, and much of the garbage is promoted with them.
  "--max-semi-space-size=8",
  // So small a generation is collected faster by one thread than shared out among several.
  "--no-parallel-scavenge",
  "--v8-pool-size=1",
  // For `compactHeap`.
  "--expose-gc",
];

/**
 * The relay's daemon. It waits for its port while another relay still has it, so that one can follow the other.
 * @param standIn makes it a second one beside the first: with its own admin port, its plist elsewhere, never started again
 */
export function relayDaemon(
  paths: Layout,
  graceSeconds: number,
  standIn?: { adminPort: number; plistFolder: string },
): Daemon {
  const node = join(paths.current, "bin/node");
  const program = join(paths.current, "relay.mjs");
  const files = ["--config", paths.relayConfig, "--secrets", paths.relaySecrets];
  const words = [node, ...RELAY_NODE_FLAGS, program, ...files, "--take-over"];
  if (!standIn) return daemon(paths, "relay", words, graceSeconds);
  const { adminPort, plistFolder } = standIn;
  const second = [...words, "--admin-port", String(adminPort)];
  return {
    ...daemon(paths, "relay-stand-in", second, graceSeconds, { logName: "relay", keepAlive: false }),
    plistFolder,
  };
}

/**
 * cloudflared's daemon: our own plist, since `cloudflared service install` wrote the token where all could read it. The
 * token comes from a file, not the command line, where `ps` shows it; it does not update itself.
 */
export function connectorDaemon(
  paths: Layout,
  metricsPort: number,
  { name = "connector", plistFolder, keepAlive }: { name?: string; plistFolder?: string; keepAlive?: boolean } = {},
): Connector {
  const program = [
    join(paths.current, "bin/cloudflared"),
    "tunnel",
    "--no-autoupdate",
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
    ...(plistFolder && { plistFolder }),
  };
}

/** Seconds a model server gets to end: it may have gigabytes to let go of. */
const modelGrace = 20;

/**
 * The model server's daemon. Metal works there with nobody signed in (seen on an M4 Pro, macOS 26.5), and needs no key here.
 * A model takes long to load, so one that ends at once is not started again every 2 s.
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

/** The same daemon for its removal, when nobody knows any more what it ran. */
export function removedModelDaemon(paths: Layout): Daemon {
  return daemon(paths, "model", ["/usr/bin/false"], modelGrace);
}
