/** Preparation of a company's server for a direct line: one paste for root, and one that undoes it. */
import { quote } from "../runtime/shell.ts";
import { watchScript, watchService, watchUnit } from "./watch-direct.ts";

/** What the server is prepared for. */
export interface DirectServer {
  /** Account of the line on the server. */
  readonly user: string;
  /** Address and port that callers use there, e.g. `127.0.0.1:18400`. */
  readonly listen: string;
}

/**
 * The line of `authorized_keys` (sshd(8)). `restrict` switches everything off, `port-forwarding` allows both directions again,
 * and `permitopen` closes the one that would let the key reach whatever the server reaches.
 * @param publicKey `ssh-ed25519 AAAA… comment`
 */
export function authorizedKeyLine({ listen }: DirectServer, publicKey: string): string {
  return `restrict,port-forwarding,permitopen="127.0.0.1:1",permitlisten="${listen}",command="/bin/false" ${publicKey}`;
}

/**
 * The drop-in for sshd (sshd_config(5)): the same limits for the whole account, whatever key signs in. sshd gives a silent
 * session up after 40 s if no call comes meanwhile; see `watchScript` for the others.
 * @param keysFile the only place where keys of the account count; root owns it
 * @param bannerFile shown before a key signs in, while `watchScript` runs; `probeServer` reads it
 */
export function sshdDropIn({ user, listen }: DirectServer, keysFile: string, bannerFile: string): string {
  const isLoopback = listen.startsWith("127.");
  return `# Direct line of slm-network: the account may do nothing but listen on forwarded ports.
Match User ${user}
    AuthorizedKeysFile ${keysFile}
    AuthenticationMethods publickey
    DisableForwarding no
    AllowTcpForwarding remote
    AllowStreamLocalForwarding no
    AllowAgentForwarding no
    X11Forwarding no
    PermitTunnel no
    PermitTTY no
    GatewayPorts ${isLoopback ? "no" : "clientspecified"}
    ForceCommand /bin/false
    Banner ${bannerFile}
    ClientAliveInterval 10
    ClientAliveCountMax 3
`;
}

/** Steps of both scripts. `SLM_DIRECT_ROOT` prefixes every path, as DESTDIR does; it is empty on a server. */
const common = `set -eu
umask 022
root=\${SLM_DIRECT_ROOT:-}
fail() { echo "NOT DONE: $1" >&2; exit 1; }
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "run this as root"
sshd=$(command -v sshd || echo /usr/sbin/sshd)
[ -x "$sshd" ] || fail "this server has no sshd: install openssh-server"
main=$root/etc/ssh/sshd_config
folder=$root/etc/ssh/slm-direct
keys=$folder/authorized_keys
watch=$folder/watch
banner=$root/run/slm-direct/banner
unit=$root/etc/systemd/system/${watchService}
has_systemd() { [ -n "$root" ] || [ -d /run/systemd/system ]; }
systemd() { [ -n "$root" ] || systemctl "$@"; }
reload() {
  if [ -n "$root" ]; then
    # It writes the file again once it has reloaded; a second signal before that would end it.
    pid=$(cat "$root/run/sshd.pid")
    rm "$root/run/sshd.pid"
    kill -HUP "$pid"
    for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ -f "$root/run/sshd.pid" ] && break; sleep 0.2; done
    return
  fi
  for name in ssh sshd; do
    systemctl reload "$name" 2>/dev/null && return
    service "$name" reload 2>/dev/null && return
  done
  # Started by a socket for its next connection: it reads the files then.
  systemctl is-active --quiet ssh.socket 2>/dev/null && return
  for pid in /run/sshd.pid /var/run/sshd.pid; do [ -f "$pid" ] && kill -HUP "$(cat "$pid")" && return; done
  fail "sshd could not be reloaded: restart it"
}
if grep -Eiq '^[[:space:]]*include[[:space:]].*sshd_config[.]d/' "$main"; then
  dropin=$root/etc/ssh/sshd_config.d/00-slm-direct.conf
else
  dropin=$folder/sshd.conf
fi`;

/**
 * One paste for root on the server: the account, its key, the drop-in. It can be repeated; a configuration that sshd rejects
 * is undone. sshd's effective settings are checked at the end, so that another setting that overrides them shows.
 */
export function prepareDirectText(server: DirectServer, publicKey: string): string {
  const { user, listen } = server;
  const script = `${common}
user=$1 line=$2 listen=$3
if ! id "$user" >/dev/null 2>&1; then
  shell=/bin/false
  for nologin in /usr/sbin/nologin /sbin/nologin; do [ -x "$nologin" ] && shell=$nologin && break; done
  if command -v useradd >/dev/null; then
    useradd --system --no-create-home --home-dir /nonexistent --shell "$shell" "$user"
  else
    adduser -S -D -H -h /nonexistent -s "$shell" "$user"
  fi
  # No password can match "*", and sshd does not take the account for a locked one.
  echo "$user:*" | chpasswd -e
fi
mkdir -p "$folder"
chmod 755 "$folder"
{ grep -vF "permitlisten=\\"$listen\\"" "$keys" 2>/dev/null || true; printf '%s\\n' "$line"; } > "$keys.new"
chmod 644 "$keys.new"
mv "$keys.new" "$keys"
[ ! -f "$dropin" ] || cp "$dropin" "$dropin.former"
cp "$main" "$main.slm-direct-former"
undo() {
  if [ -f "$dropin.former" ]; then mv "$dropin.former" "$dropin"; else rm -f "$dropin"; fi
  mv "$main.slm-direct-former" "$main"
  fail "$1. The configuration of sshd was left as it was"
}
sed "s|@keys@|$keys|; s|@banner@|$banner|" > "$dropin" <<'END'
${sshdDropIn(server, "@keys@", "@banner@")}END
chmod 644 "$dropin"
if [ "$dropin" = "$folder/sshd.conf" ] && ! grep -qF "Include $dropin" "$main"; then
  { echo "Include $dropin"; cat "$main.slm-direct-former"; } > "$main.new"
  chmod 600 "$main.new"
  mv "$main.new" "$main"
fi
"$sshd" -t -f "$main" || undo "sshd rejects the configuration (it is older than 8.2, or damaged; its message is above)"
settings=$("$sshd" -T -f "$main" -C "user=$user,host=localhost,addr=127.0.0.1") || undo "sshd does not show its settings"
for wanted in "allowtcpforwarding remote" "allowstreamlocalforwarding no" "disableforwarding no" "clientaliveinterval 10" "clientalivecountmax 3" "authorizedkeysfile $keys"; do
  echo "$settings" | grep -qixF "$wanted" || undo "another setting of sshd overrides \\"$wanted\\" for $user; look for it in $main and the files it includes"
done
if echo "$settings" | grep -qi '^allowusers ' && ! echo "$settings" | grep -Eiq "^allowusers ($user|[*])$"; then
  undo "AllowUsers in $main does not list $user: add it"
fi
if echo "$settings" | grep -qi '^allowgroups '; then
  echo "NOTE: $main has AllowGroups: the account $user must be in one of these groups" >&2
fi
rm -f "$dropin.former" "$main.slm-direct-former"
reload
sed "s|@keys@|$keys|; s|@banner@|$banner|" > "$watch.new" <<'END'
${watchScript("@keys@", "@banner@")}END
chmod 755 "$watch.new"
mv "$watch.new" "$watch"
if ! command -v ss >/dev/null; then
  echo "NOTE: this server has no ss: install iproute2 and paste this again. Until then a dead connection can keep the port for a quarter of an hour while calls come" >&2
elif has_systemd; then
  mkdir -p "$root/etc/systemd/system"
  sed "s|@watch@|$watch|" > "$unit" <<'END'
${watchUnit("@watch@")}END
  chmod 644 "$unit"
  systemd daemon-reload
  systemd enable -q ${watchService}
  systemd restart ${watchService}
else
  echo "NOTE: this server has no systemd: let its own service manager run this as root, from boot on: /bin/sh $watch" >&2
fi
echo "Done. Within 10 s after the Mac connects, this prints ready: curl -s http://$listen/readyz"`;
  return sh(script, [user, authorizedKeyLine(server, publicKey), listen]);
}

/** One paste for root that removes the line's key, and account and drop-in with the last one. */
export function removeDirectText({ user, listen }: DirectServer): string {
  const script = `${common}
user=$1 listen=$2
[ ! -f "$keys" ] || { grep -vF "permitlisten=\\"$listen\\"" "$keys" > "$keys.new" || true; chmod 644 "$keys.new"; mv "$keys.new" "$keys"; }
if [ ! -s "$keys" ]; then
  if grep -qF "Include $folder/sshd.conf" "$main"; then
    grep -vF "Include $folder/sshd.conf" "$main" > "$main.new" || true
    chmod 600 "$main.new"
    mv "$main.new" "$main"
  fi
  [ ! -f "$unit" ] || systemd disable -q --now ${watchService} || true
  rm -rf "$dropin" "$folder" "$unit"
  ! has_systemd || systemd daemon-reload
  reload
  [ -n "$root" ] || userdel "$user" 2>/dev/null || deluser "$user" 2>/dev/null || true
fi
# Ends a connection that is still up.
[ -n "$root" ] || pkill -u "$user" 2>/dev/null || true
echo "Done. Nothing of the direct line is left on this server."`;
  return sh(script, [user, listen]);
}

const sh = (script: string, args: string[]): string =>
  `sudo /bin/sh -c ${[script, "slm-direct", ...args].map(quote).join(" ")}`;
