/** What is run on the Mac over SSH, as text: shell only as far as the installer. */
import { fitsShell } from "../../runtime/disk-full.ts";
import { quote } from "../../runtime/shell.ts";

/**
 * Checks and unpacks what was uploaded to the administrator's home and hands over to the installer, and removes it in the end. Shell only as far as that: POSIX, root. `tar -o`
 * gives what it unpacks to root; without it a file would belong to whatever number its archive names.
 * The release's archive is kept, and what is unpacked is compared with it each time: a file that somebody altered is put
 * back, also when the upload is long gone. Arguments: the release's sha256, Node's address (or `uploaded`), Node's sha256, the installation's id. `SLM_NETWORK_ROOT` prefixes every path, as DESTDIR does;
 * on a Mac it is empty, and `sudo` does not pass it on.
 */
export const installScript = `set -eu
umask 022
release=$1 node_url=$2 node_sha=$3 installation=\${4:-}
root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
${fitsShell}
fits "$root/" mkdir -p "$base/releases" "$base/node"
work=$(fits "$base" mktemp -d "$base/.incoming.XXXXXXXX")
trap 'rm -rf "$work"' EXIT
sum() { shasum -a 256 "$1" | cut -c 1-64; }
# An empty hash would make the next run take the program for an altered one.
note() { sum "$1" >"$1.sha256" && [ -s "$1.sha256" ] || { rm -f "$1.sha256"; return 1; }; }
check() { [ "$(sum "$1")" = "$2" ]; }
# Not /tmp: it is everybody's, and an upload would follow a link that somebody put in its way. A home with a space in its path
# stands on the next line.
uploads=$root$(dscl . -read "/Users/\${SUDO_USER:-root}" NFSHomeDirectory | sed -e 's/^NFSHomeDirectory://' -e 's/^ //' -e '/^$/d')
uploaded() {
  [ ! -L "$uploads/slm-network-$1" ] && [ -f "$uploads/slm-network-$1" ] && fits "$base" cp "$uploads/slm-network-$1" "$2" && return 0
  echo "the upload is gone from $uploads on the Mac: send it again with: pulumi up --replace '<urn of the resource …-upload$3>'" >&2
  exit 1
}
repaired=
node=$base/node/$node_sha
if [ -x "$node/bin/node" ] && [ ! -f "$node/bin/node.sha256" ]; then
  fits "$base" note "$node/bin/node"
fi
if [ ! -x "$node/bin/node" ] || ! check "$node/bin/node" "$(cat "$node/bin/node.sha256")"; then
  [ ! -e "$node" ] || repaired=--repaired
  if [ "$node_url" = uploaded ]; then
    uploaded "$node_sha.tgz" "$work/node.tgz" -node
  else
    fits "$base" curl -fsSL --retry 2 --retry-all-errors --connect-timeout 20 --max-time 600 -o "$work/node.tgz" "$node_url" || { echo "the Mac cannot download Node from $node_url: is it on the internet? If it has no internet access, set artifacts.push to true" >&2; exit 1; }
  fi
  check "$work/node.tgz" "$node_sha" || { echo "what came from $node_url does not have the sha256 $node_sha: not used" >&2; exit 1; }
  fits "$base" mkdir "$work/node"
  fits "$base" tar -xzof "$work/node.tgz" -C "$work/node" --strip-components 1
  fits "$base" note "$work/node/bin/node"
  rm -rf "$node"
  fits "$base" mv "$work/node" "$node"
fi
archive=$base/archives/$release.tar
if [ ! -f "$archive" ] || ! check "$archive" "$release"; then
  uploaded "$release.tar" "$work/release.tar" ""
  check "$work/release.tar" "$release" || { echo "the upload arrived damaged: send it again with: pulumi up --replace '<urn of the resource …-upload>'" >&2; exit 1; }
  fits "$base" mkdir -p "$base/archives"
  fits "$base" mv "$work/release.tar" "$archive"
fi
fits "$base" mkdir "$work/release"
fits "$base" tar -xof "$archive" -C "$work/release"
if ! diff -qr -x bin "$work/release" "$base/releases/$release" >/dev/null 2>&1; then
  [ ! -e "$base/releases/$release" ] || repaired=--repaired
  rm -rf "$base/releases/$release"
  fits "$base" mv "$work/release" "$base/releases/$release"
fi
"$node/bin/node" "$base/releases/$release/installer.mjs" install --root "$root/" --release "$release" --node "$node_sha" --uploads "$uploads" \${installation:+--installation "$installation"} $repaired
rm -f "$uploads"/slm-network-*.tar "$uploads"/slm-network-*.tgz`;

/** Removes what the installer put there; nothing to remove is not an error. Arguments: those of the installer's `remove`. */
export const removeScript = `set -eu
root=\${SLM_NETWORK_ROOT:-}
current=$root/usr/local/slm-network/current
[ -x "$current/bin/node" ] || exit 0
"$current/bin/node" "$current/installer.mjs" remove --root "$root/" "$@"`;

/**
 * Prints which of the archives, given as `<kind> <sha256> <file's name>` triples (release, node, cloudflared), have to be sent:
 * neither whole in the account's home nor kept or unpacked unaltered. As the account itself.
 */
export const missingScript = `root=\${SLM_NETWORK_ROOT:-}
base=$root/usr/local/slm-network
sum() { shasum -a 256 "$1" 2>/dev/null | cut -c 1-64; }
same() { [ -f "$1" ] && { [ ! -f "$1.sha256" ] || [ "$(sum "$1")" = "$(cat "$1.sha256")" ]; }; }
while [ $# -gt 2 ]; do
  case $1 in
    release) [ "$(sum "$base/archives/$2.tar")" = "$2" ] ;;
    node) same "$base/node/$2/bin/node" ;;
    *) same "$base/cloudflared/$2/cloudflared" ;;
  esac || [ "$(sum "$HOME/$3")" = "$2" ] || echo "$2"
  shift 3
done`;

/** Puts standard input where an upload lies. Argument: the file's name in the account's home. */
export const sendScript = `set -eu
upload=$HOME/$1
umask 077
${fitsShell}
incoming=$(fits "$HOME" mktemp "$upload.XXXXXXXX")
trap 'rm -f "$incoming"' EXIT
receive() { cat > "$incoming"; }
fits "$HOME" receive
fits "$HOME" mv "$incoming" "$upload"`;

/** Prints name and size in bytes of each file with the relay's data, one a line, and `end`; needs root. */
export const dataScript = `if cd "\${SLM_NETWORK_ROOT:-}/var/db/slm-network" 2>/dev/null; then
  for file in *; do [ -f "$file" ] && [ ! -L "$file" ] && echo "$file $(($(wc -c < "$file")))"; done
fi
echo end`;

/** @returns name of an uploaded archive in the home of the account that uploads, which nobody else can write to */
export const uploadName = (sha256: string, ending: "tar" | "tgz"): string => `slm-network-${sha256}.${ending}`;

/** @returns the command that runs `script` as root with these arguments; nothing of it is secret */
export function asRoot(script: string, ...args: string[]): string {
  return `sudo -n /bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}

/** @returns the command that runs `script` as the account itself */
export function asUser(script: string, ...args: string[]): string {
  return `/bin/sh -c ${[script, "slm-network", ...args].map(quote).join(" ")}`;
}
