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
  /** A host in between; the same agent's key lets in there. */
  readonly jump?: Omit<MacConnection, "jump"> | undefined;
}

/** @returns the connection as @pulumi/command takes it */
export function remoteConnection({ host, port, user, hostKey, jump }: MacConnection) {
  const proxy = jump && { host: jump.host, port: jump.port, user: jump.user, hostKey: jump.hostKey };
  return { host, port, user, hostKey, ...(proxy && { proxy }) };
}

/** A file the Mac downloads, and what it must be. */
export interface Artifact {
  readonly url: string;
  readonly sha256: string;
}

/** What a Mac needs to know. */
export interface MacHostArgs {
  readonly connection: MacConnection;
  /** The archive with relay and installer, made by `runtime/build.ts`. */
  readonly release: { readonly path: string; readonly sha256: string };
  /** Node for macOS, which runs both. */
  readonly node: Artifact;
  /** What is installed; goes through standard input, secret as a whole. */
  readonly input: pulumi.Input<InstallInput>;
}

/**
 * Checks and unpacks what was uploaded and hands over to the installer. Shell only as far as that: POSIX, root. `tar -o`
 * gives what it unpacks to root; without it a file would belong to whatever number its archive names.
 * Arguments: the release's sha256, Node's address, Node's sha256. `SLM_NETWORK_ROOT` prefixes every path, as DESTDIR does;
 * on a Mac it is empty, and `sudo` does not pass it on.
 */
export const installScript = `set -eu
umask 022
release=$1 node_url=$2 node_sha=$3
root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
mkdir -p "$base/releases" "$base/node"
work=$(mktemp -d "$base/.incoming.XXXXXXXX")
trap 'rm -rf "$work"' EXIT
check() { echo "$2  $1" | shasum -a 256 -c - >/dev/null 2>&1; }
if [ ! -x "$base/node/$node_sha/bin/node" ]; then
  curl -fsSL --retry 3 -o "$work/node.tgz" "$node_url" || { echo "the Mac can not download Node from $node_url: is it on the internet?" >&2; exit 1; }
  check "$work/node.tgz" "$node_sha" || { echo "what came from $node_url does not have the sha256 $node_sha: not used" >&2; exit 1; }
  mkdir "$work/node"
  tar -xzof "$work/node.tgz" -C "$work/node" --strip-components 1
  rm -rf "$base/node/$node_sha"
  mv "$work/node" "$base/node/$node_sha"
fi
if [ ! -f "$base/releases/$release/installer.mjs" ]; then
  cp "$root/tmp/slm-network-$release.tgz" "$work/release.tgz" || { echo "the upload is gone from /tmp: run pulumi up again" >&2; exit 1; }
  check "$work/release.tgz" "$release" || { echo "the upload arrived damaged: run pulumi up again" >&2; exit 1; }
  mkdir "$work/release"
  tar -xzof "$work/release.tgz" -C "$work/release"
  rm -rf "$base/releases/$release"
  mv "$work/release" "$base/releases/$release"
fi
"$base/node/$node_sha/bin/node" "$base/releases/$release/installer.mjs" install --root "$root/" --release "$release" --node "$node_sha"`;

/** Removes what the installer put there; nothing there is no error. */
export const removeScript = `set -eu
root=\${SLM_NETWORK_ROOT:-}
current=$root/usr/local/slm-network/current
[ -x "$current/bin/node" ] || exit 0
"$current/bin/node" "$current/installer.mjs" remove --root "$root/"`;

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @returns the command that runs `script` as root with these arguments; nothing of it is secret */
export function asRoot(script: string, ...args: string[]): string {
  return `sudo -n /bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}

/**
 * The Mac: one archive uploaded, then the installer's run, with the secrets through standard input. The installer waits
 * until the relay can serve and cloudflared is connected; it is safe to run again and changes nothing the second time.
 * A changed archive, Node or input runs it again. There is no way to read a Mac's state back, so drift on it is not seen.
 *
 * @example
 * new MacHost("slm-studio", { connection: { host, port: 22, user: "deploy", hostKey }, release, node, input });
 */
export class MacHost extends pulumi.ComponentResource {
  /** The installer's report, one line of JSON. */
  readonly report: pulumi.Output<string>;

  constructor(name: string, args: MacHostArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:mac-host:MacHost", name, {}, opts);
    const connection = remoteConnection(args.connection);
    const { path, sha256 } = args.release;

    const upload = new command.remote.CopyToRemote(
      `${name}-upload`,
      {
        connection,
        source: new pulumi.asset.FileAsset(path),
        remotePath: `/tmp/slm-network-${sha256}.tgz`,
      },
      { parent: this },
    );

    const install = asRoot(installScript, sha256, args.node.url, args.node.sha256);
    const installed = new command.remote.Command(
      `${name}-install`,
      {
        connection,
        // The hashes are in the text, so a new release runs it again; `triggers` would replace the resource, and the
        // old one's delete would then remove what was just installed.
        create: install,
        update: install,
        delete: asRoot(removeScript),
        stdin: pulumi.secret(pulumi.output(args.input).apply((input) => JSON.stringify(input))),
        addPreviousOutputInEnv: false,
        logging: "none",
      },
      { parent: this, dependsOn: [upload], customTimeouts: { create: "15m", update: "15m", delete: "5m" } },
    );

    this.report = installed.stdout;
    this.registerOutputs({ report: this.report });
  }
}
