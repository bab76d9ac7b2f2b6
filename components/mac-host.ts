import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { InstallInput } from "../runtime/config.ts";

/** How the Mac is reached. The key comes from the SSH agent of whoever runs `pulumi up`. */
export interface MacConnection {
  readonly host: string;
  readonly port: number;
  /** An account that may use `sudo -n`; who holds its key is root on that Mac. */
  readonly user: string;
  /** `ssh-ed25519 AAAA…`; without it anybody could pose as the Mac. */
  readonly hostKey: string;
  /** Socket of an agent for the uploads, relative; without it @pulumi/command asks the one at SSH_AUTH_SOCK. */
  readonly agentSocket?: string | undefined;
  /** A host in between; the same agent's key lets in there. */
  readonly jump?: Omit<MacConnection, "jump"> | undefined;
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
function uploadConnection(mac: MacConnection) {
  const { proxy, ...direct } = remoteConnection(mac);
  const agent = mac.agentSocket === undefined ? {} : { agentSocketPath: mac.agentSocket };
  return { ...direct, ...agent, ...(proxy && { proxy: { ...proxy, ...agent } }) };
}

/** A file the Mac downloads, and what it must be. */
export interface Artifact {
  readonly url: string;
  readonly sha256: string;
}

/** A file that is uploaded, and what it must be. */
export interface Upload {
  readonly path: string;
  readonly sha256: string;
}

/** What a Mac needs to know. */
export interface MacHostArgs {
  readonly connection: MacConnection;
  /** The archive with relay and installer, made by `runtime/build.ts`. */
  readonly release: Upload;
  /** Node for macOS, which runs both. */
  readonly node: Artifact;
  /** Node and cloudflared for a Mac without a way out: then neither is downloaded there. */
  readonly uploads?: { readonly node: Upload; readonly cloudflared: Upload } | undefined;
  /** What is installed; goes through standard input, secret as a whole. */
  readonly input: pulumi.Input<InstallInput>;
  /** The removal takes the relay's data along. @default false */
  readonly removeData?: boolean;
  /** The removal leaves the Mac as it is, and asks nothing of it. @default false */
  readonly skipRemoval?: boolean;
}

/** What the installer says it found and did, as far as the program reads it. */
interface Report {
  readonly warnings?: readonly string[];
}

/**
 * Checks and unpacks what was uploaded and hands over to the installer. Shell only as far as that: POSIX, root. `tar -o`
 * gives what it unpacks to root; without it a file would belong to whatever number its archive names.
 * The release's archive is kept, and what is unpacked is compared with it each time: a file that somebody altered is put
 * back, also when macOS has cleared /tmp since. Arguments: the release's sha256, Node's address (or `uploaded`), Node's sha256, the installation's id. `SLM_NETWORK_ROOT` prefixes every path, as DESTDIR does;
 * on a Mac it is empty, and `sudo` does not pass it on.
 */
export const installScript = `set -eu
umask 022
release=$1 node_url=$2 node_sha=$3 installation=\${4:-}
root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
mkdir -p "$base/releases" "$base/node"
work=$(mktemp -d "$base/.incoming.XXXXXXXX")
trap 'rm -rf "$work"' EXIT
sum() { shasum -a 256 "$1" | cut -c 1-64; }
check() { [ "$(sum "$1")" = "$2" ]; }
uploaded() {
  cp "$root/tmp/slm-network-$1" "$2" && return 0
  echo "the upload is gone from the Mac's /tmp: send it again with: pulumi up --replace '<urn of the resource …-upload$3>'" >&2
  exit 1
}
repaired=
node=$base/node/$node_sha
if [ -x "$node/bin/node" ] && [ ! -f "$node/bin/node.sha256" ]; then
  sum "$node/bin/node" >"$node/bin/node.sha256"
fi
if [ ! -x "$node/bin/node" ] || ! check "$node/bin/node" "$(cat "$node/bin/node.sha256")"; then
  [ ! -e "$node" ] || repaired=--repaired
  if [ "$node_url" = uploaded ]; then
    uploaded "$node_sha.tgz" "$work/node.tgz" -node
  else
    curl -fsSL --retry 2 --retry-all-errors --connect-timeout 20 --max-time 600 -o "$work/node.tgz" "$node_url" || { echo "the Mac can not download Node from $node_url: is it on the internet? If it has no way out, set artifacts.push to true" >&2; exit 1; }
  fi
  check "$work/node.tgz" "$node_sha" || { echo "what came from $node_url does not have the sha256 $node_sha: not used" >&2; exit 1; }
  mkdir "$work/node"
  tar -xzof "$work/node.tgz" -C "$work/node" --strip-components 1
  sum "$work/node/bin/node" >"$work/node/bin/node.sha256"
  rm -rf "$node"
  mv "$work/node" "$node"
fi
archive=$base/archives/$release.tar
if [ ! -f "$archive" ] || ! check "$archive" "$release"; then
  uploaded "$release.tar" "$work/release.tar" ""
  check "$work/release.tar" "$release" || { echo "the upload arrived damaged: send it again with: pulumi up --replace '<urn of the resource …-upload>'" >&2; exit 1; }
  mkdir -p "$base/archives"
  mv "$work/release.tar" "$archive"
fi
mkdir "$work/release"
tar -xof "$archive" -C "$work/release"
if ! diff -qr -x bin "$work/release" "$base/releases/$release" >/dev/null 2>&1; then
  [ ! -e "$base/releases/$release" ] || repaired=--repaired
  rm -rf "$base/releases/$release"
  mv "$work/release" "$base/releases/$release"
fi
"$node/bin/node" "$base/releases/$release/installer.mjs" install --root "$root/" --release "$release" --node "$node_sha" \${installation:+--installation "$installation"} $repaired`;

/** Removes what the installer put there; nothing there is no error. Arguments: `--installation ID`, `--data`. */
export const removeScript = `set -eu
root=\${SLM_NETWORK_ROOT:-}
current=$root/usr/local/slm-network/current
[ -x "$current/bin/node" ] || exit 0
"$current/bin/node" "$current/installer.mjs" remove --root "$root/" "$@"`;

/**
 * Asks whether the Mac is there, before its removal: a Mac that is gone would block `pulumi destroy` with no more than a
 * time-out. Run by this machine's Node.
 */
export const reachScript = (host: string, port: number): string => `
const socket = require("node:net").connect({ host: ${JSON.stringify(host)}, port: ${port} });
const gone = (why) => {
  console.error(${JSON.stringify(`the Mac at ${host}:${port} can not be reached`)} + " (" + why + "), so nothing can be removed from it. "
    + "Switch it on and run pulumi destroy again. If it is gone for good: set macs[].skipRemoval to true in the stack's config, "
    + "run pulumi up, then pulumi destroy. If that pulumi up wants the Mac for another change, have it forgotten instead: "
    + "pulumi state delete '<urn of …-reach>' and pulumi state delete '<urn of …-install>'. "
    + "What is on the Mac then stays there: wipe it before you give it away.");
  process.exit(1);
};
socket.setTimeout(15000, () => gone("no answer within 15 s"));
socket.on("error", (error) => gone(error.message));
socket.on("connect", () => process.exit(0));
`;

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @returns the command that runs `script` as root with these arguments; nothing of it is secret */
export function asRoot(script: string, ...args: string[]): string {
  return `sudo -n /bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}

/**
 * The Mac: one archive uploaded, then the installer's run, with the secrets through standard input. The installer waits
 * until the relay can serve and cloudflared is connected; it is safe to run again and changes nothing the second time.
 * A changed archive, Node or input runs it again. There is no way to read a Mac's state back, so drift on it is not seen.
 * What the installer could not set right is a warning at every `up`, until an installation finds it right.
 *
 * @example
 * new MacHost("slm-studio", { connection: { host, port: 22, user: "deploy", hostKey }, release, node, input });
 */
export class MacHost extends pulumi.ComponentResource {
  /** The installer's report, one line of JSON. */
  readonly report: pulumi.Output<string>;
  /** What it found wrong and could not set right. */
  readonly warnings: pulumi.Output<readonly string[]>;

  constructor(name: string, args: MacHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:mac-host:MacHost", name, {}, opts);
    const connection = remoteConnection(args.connection);
    const { release, uploads, node, removeData = false, skipRemoval = false } = args;
    const send = (suffix: string, { path, sha256 }: Upload, ending = "tgz") =>
      new command.remote.CopyToRemote(
        `${name}-upload${suffix}`,
        {
          connection: uploadConnection(args.connection),
          source: new pulumi.asset.FileAsset(path),
          remotePath: `/tmp/slm-network-${sha256}.${ending}`,
        },
        { parent: this },
      );
    const sent = [
      send("", release, "tar"),
      ...(uploads ? [send("-node", uploads.node), send("-cloudflared", uploads.cloudflared)] : []),
    ];

    const install = asRoot(installScript, release.sha256, uploads ? "uploaded" : node.url, node.sha256);
    const installed = new command.remote.Command(
      `${name}-install`,
      {
        connection,
        // The hashes are in the text, so a new release runs it again; `triggers` would replace the resource, and the
        // old one's delete would then remove what was just installed.
        create: install,
        update: install,
        delete: asRoot(removeScript, removeData ? "--data" : ""),
        stdin: pulumi.secret(pulumi.output(args.input).apply((input) => JSON.stringify(input))),
        addPreviousOutputInEnv: false,
        logging: "none",
      },
      {
        parent: this,
        dependsOn: sent,
        customTimeouts: { create: "15m", update: "15m", delete: "5m" },
        // Not an input: it can be changed while the Mac is away.
        retainOnDelete: skipRemoval,
      },
    );
    // Of a Mac behind a jump host only that can be asked from here.
    const hop = args.connection.jump ?? args.connection;
    new command.local.Command(
      `${name}-reach`,
      {
        delete: reachScript(hop.host, hop.port),
        interpreter: ["node", "-e"],
        addPreviousOutputInEnv: false,
        logging: "none",
      },
      { parent: this, dependsOn: [installed], retainOnDelete: skipRemoval },
    );

    this.report = installed.stdout;
    this.warnings = installed.stdout.apply(warningsOf);
    this.warnings.apply((warnings) => {
      for (const warning of warnings) void pulumi.log.warn(warning, this);
    });
    this.registerOutputs({ report: this.report, warnings: this.warnings });
  }
}

function warningsOf(report: string): readonly string[] {
  const { warnings = [] } = JSON.parse(report) as Report;
  return warnings;
}
