/** What is run on the Mac over SSH, as text: shell only as far as the installer. */

/**
 * Checks and unpacks what was uploaded and hands over to the installer. Shell only as far as that: POSIX, root. `tar -o`
 * gives what it unpacks to root; without it a file would belong to whatever number its archive names.
 * Arguments: the release's sha256, Node's address (or `uploaded`), Node's sha256, and the installation id to leave on the
 * Mac (none: no id). `SLM_NETWORK_ROOT` prefixes every path, as DESTDIR does; on a Mac it is empty, and `sudo` does not pass
 * it on.
 */
export const installScript = `set -eu
umask 022
release=$1 node_url=$2 node_sha=$3 installation=\${4:-}
root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
mkdir -p "$base/releases" "$base/node"
work=$(mktemp -d "$base/.incoming.XXXXXXXX")
trap 'rm -rf "$work"' EXIT
check() { echo "$2  $1" | shasum -a 256 -c - >/dev/null 2>&1; }
uploaded() {
  cp "$root/tmp/slm-network-$1.tgz" "$2" && return 0
  echo "the upload is gone from the Mac's /tmp: send it again with: pulumi up --replace '<urn of the resource …-upload$3>'" >&2
  exit 1
}
if [ ! -x "$base/node/$node_sha/bin/node" ]; then
  if [ "$node_url" = uploaded ]; then
    uploaded "$node_sha" "$work/node.tgz" -node
  else
    curl -fsSL --retry 3 -o "$work/node.tgz" "$node_url" || { echo "the Mac can not download Node from $node_url: is it on the internet? If it has no way out, set artifacts.push to true" >&2; exit 1; }
  fi
  check "$work/node.tgz" "$node_sha" || { echo "what came from $node_url does not have the sha256 $node_sha: not used" >&2; exit 1; }
  mkdir "$work/node"
  tar -xzof "$work/node.tgz" -C "$work/node" --strip-components 1
  rm -rf "$base/node/$node_sha"
  mv "$work/node" "$base/node/$node_sha"
fi
if [ ! -f "$base/releases/$release/installer.mjs" ]; then
  uploaded "$release" "$work/release.tgz" ""
  check "$work/release.tgz" "$release" || { echo "the upload arrived damaged: send it again with: pulumi up --replace '<urn of the resource …-upload>'" >&2; exit 1; }
  mkdir "$work/release"
  tar -xzof "$work/release.tgz" -C "$work/release"
  rm -rf "$base/releases/$release"
  mv "$work/release" "$base/releases/$release"
fi
"$base/node/$node_sha/bin/node" "$base/releases/$release/installer.mjs" install --root "$root/" --release "$release" --node "$node_sha" \${installation:+--installation "$installation"}`;

/** Removes what the installer put there; nothing there is no error. Arguments: those of the installer's `remove`. */
export const removeScript = `set -eu
root=\${SLM_NETWORK_ROOT:-}
current=$root/usr/local/slm-network/current
[ -x "$current/bin/node" ] || exit 0
"$current/bin/node" "$current/installer.mjs" remove --root "$root/" "$@"`;

/**
 * Prints which of the archives, given as `<kind> <sha256>` pairs (release, node, cloudflared), are neither unpacked nor
 * whole in /tmp, which macOS empties at its start. As the account itself, not as root.
 */
export const missingScript = `root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
while [ $# -gt 1 ]; do
  case $1 in
    release) unpacked=$base/releases/$2/installer.mjs ;;
    node) unpacked=$base/node/$2/bin/node ;;
    *) unpacked=$base/cloudflared/$2/cloudflared ;;
  esac
  upload=$root/tmp/slm-network-$2.tgz
  [ -e "$unpacked" ] || echo "$2  $upload" | shasum -a 256 -c - >/dev/null 2>&1 || echo "$2"
  shift 2
done`;

/** Puts standard input where an upload lies. Argument: its sha256. */
export const sendScript = `set -eu
upload=\${SLM_NETWORK_ROOT:-}/tmp/slm-network-$1.tgz
umask 077
cat > "$upload.$$"
mv "$upload.$$" "$upload"`;

/** Prints name and size in bytes of each file with the relay's data, one a line; needs root. */
export const dataScript = `cd "\${SLM_NETWORK_ROOT:-}/var/db/slm-network" 2>/dev/null || exit 0
for file in *; do [ -f "$file" ] && echo "$file $(($(wc -c < "$file")))"; done; exit 0`;

const quote = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @returns the command that runs `script` as root with these arguments; nothing of it is secret */
export function asRoot(script: string, ...args: string[]): string {
  return `sudo -n /bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}

/** @returns the command that runs `script` as the account itself */
export function asUser(script: string, ...args: string[]): string {
  return `/bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}
