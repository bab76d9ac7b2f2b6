import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { InstallInput } from "../../runtime/install-input-schema.ts";
import type { MacConnection } from "./connection.ts";
import type { Overlaps } from "./direct-credentials.ts";
import { type FormerMacNames, noFormerNames } from "./former-names.ts";
import { MacInstallation, Nothing } from "./installation.ts";
import type { Upload } from "./record.ts";

export type { MacConnection } from "./connection.ts";
export type { Upload } from "./record.ts";

import { uploadName } from "./scripts.ts";

export { asRoot, installScript, removeScript } from "./scripts.ts";

/** A connection for uploads only. */
export interface UploadConnection extends MacConnection {
  /** Socket of an agent, relative; without it @pulumi/command asks the one at SSH_AUTH_SOCK. */
  readonly agentSocket?: string | undefined;
}

/** @returns the connection as @pulumi/command takes it */
export function remoteConnection({ host, port, user, hostKey, jump }: MacConnection) {
  const proxy = jump && { host: jump.host, port: jump.port, user: jump.user, hostKey: jump.hostKey };
  return { host, port, user, hostKey, ...(proxy && { proxy }) };
}

/**
 * @returns the same with the agent that the program itself serves: its path is the same on every machine, so it may stand in
 * the state. Only for what asks nothing of the Mac when it is deleted: then no program runs, and no agent.
 */
function uploadConnection(mac: UploadConnection) {
  const { proxy, ...direct } = remoteConnection(mac);
  const agent = mac.agentSocket === undefined ? {} : { agentSocketPath: mac.agentSocket };
  return { ...direct, ...agent, ...(proxy && { proxy: { ...proxy, ...agent } }) };
}

/** A file the Mac downloads, and its hash. */
export interface Artifact {
  readonly url: string;
  readonly sha256: string;
}

/** Arguments of a Mac. */
export interface MacHostArgs {
  readonly connection: MacConnection;
  /** Where the uploads dial, when that is another address for the moment (the local end of the tunnel). */
  readonly uploadConnection?: UploadConnection | undefined;
  /** The archive with relay and installer, made by `runtime/build.ts`. */
  readonly release: Upload;
  /** Node for macOS, which runs both. */
  readonly node: Artifact;
  /** Node and cloudflared for a Mac without internet access: then neither is downloaded there. */
  readonly uploads?: { readonly node: Upload; readonly cloudflared: Upload } | undefined;
  /** What is installed; goes through standard input, secret as a whole. */
  readonly input: pulumi.Input<InstallInput>;
  /** The removal deletes the relay's data too. @default false */
  readonly removeData?: boolean;
  /** The removal leaves the Mac as it is, and asks nothing of it. @default false */
  readonly skipRemoval?: boolean;
  /** The Mac that this one follows cannot be reached any more. @default false */
  readonly previousGone?: boolean;
  /** Until when former secrets count on direct lines, by server. @default none */
  readonly directOverlaps?: Overlaps;
  /** What an earlier version of the program named after the Mac. @default nothing */
  readonly former?: FormerMacNames;
}

/** What the installer says it found and did, as far as the program reads it. */
interface Report {
  readonly warnings?: readonly string[];
  readonly direct?: readonly (DirectLineOutput & { readonly server: string; readonly listen: string })[];
}

/** A direct line, for its server's administrator. */
export interface DirectLineOutput {
  /** What callers on that server use in place of https://<hostname>. */
  readonly baseUrl: string;
  readonly publicKey: string;
}

/**
 * The Mac: one archive uploaded, then the installer's run, with the secrets through standard input. The installer waits
 * until the relay can serve and cloudflared is connected; it is safe to run again and changes nothing the second time.
 * What it could not set right is a warning at every `up`, until an installation finds it right.
 *
 * No name here contains the Mac's: to Pulumi a new name or address, and even another machine, is the same resource.
 *
 * @example
 * new MacHost("slm-mac", { connection: { host, port: 22, user: "deploy", hostKey }, release, node, input });
 */
export class MacHost extends pulumi.ComponentResource {
  /** The installer's report, one line of JSON. */
  readonly report: pulumi.Output<string>;
  /** What it found wrong and could not set right. */
  readonly warnings: pulumi.Output<readonly string[]>;
  /** State of the direct lines by server; empty without any. */
  readonly directLines: pulumi.Output<Readonly<Record<string, DirectLineOutput>>>;

  constructor(name: string, args: MacHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const { former = noFormerNames } = args;
    super("slm-network:mac-host:MacHost", name, {}, pulumi.mergeOptions(opts, { aliases: former.component }));
    const { release, uploads, node, removeData = false, skipRemoval = false, previousGone = false } = args;
    const connection = uploadConnection(args.uploadConnection ?? args.connection);
    const send = (suffix: string, upload: Upload, ending: "tar" | "tgz" = "tgz") =>
      new command.remote.CopyToRemote(
        `${name}-upload${suffix}`,
        {
          connection,
          source: new pulumi.asset.FileAsset(upload.path),
          // Relative: below the account's home.
          remotePath: uploadName(upload.sha256, ending),
        },
        // A Mac that is given up may be gone. If it is not, the installation sends what is missing there.
        { parent: this, ignoreChanges: skipRemoval ? ["connection", "source", "remotePath"] : [] },
      );
    const sent = [
      send("", release, "tar"),
      ...(uploads ? [send("-node", uploads.node), send("-cloudflared", uploads.cloudflared)] : []),
    ];

    const installed = new MacInstallation(
      `${name}-install`,
      {
        connection: args.connection,
        release,
        node,
        ...(uploads && { uploads }),
        input: args.input,
        removeData,
        previousGone,
        ...(skipRemoval && { skipRemoval }),
        ...(args.directOverlaps &&
          Object.keys(args.directOverlaps).length > 0 && { directOverlaps: args.directOverlaps }),
      },
      {
        parent: this,
        dependsOn: sent,
        aliases: former.install,
        // Can be changed while the Mac is off.
        retainOnDelete: skipRemoval,
      },
    );
    if (former.reach) new Nothing(`${name}-reach`, { parent: this, aliases: former.reach });

    this.report = installed.report;
    this.warnings = installed.report.apply(warningsOf);
    this.directLines = installed.report.apply(directLinesOf);
    this.warnings.apply((warnings) => {
      for (const warning of warnings) void pulumi.log.warn(warning, this);
    });
    this.registerOutputs({ report: this.report, warnings: this.warnings });
  }
}

function directLinesOf(report: string): Record<string, DirectLineOutput> {
  const { direct = [] } = JSON.parse(report) as Report;
  return Object.fromEntries(
    direct.map(({ server, listen, publicKey }) => [server, { baseUrl: `http://${listen}`, publicKey }]),
  );
}

function warningsOf(report: string): readonly string[] {
  const { warnings = [] } = JSON.parse(report) as Report;
  return warnings;
}
