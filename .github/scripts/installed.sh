#!/bin/sh
# With a running sandbox (its variables set, see `npm run sandbox -- --env`): checks what was installed on its Mac by the Mac's
# own commands, and that it restarts when it is killed. Every check goes over SSH, so it is the same for a real Mac and for
# the emulated one. Ends with 1 at the first failure.
set -eu

mac() { npm run -s ssh -- studio "$@"; }
say() { echo "== $*"; }

# On macOS, Go reads the keychain: without the sandbox's authority there, cloudflared refuses every token.
if [ "$(uname -s)" = Darwin ] && [ "${SANDBOX_MAC:-}" = this ]; then
  say "the sandbox's authority is trusted"
  sudo -n security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain \
    "$(mac sudo -n launchctl getenv SSL_CERT_FILE)"
fi

for name in relay connector; do
  say "$name: its plist is valid, and launchd runs it"
  mac plutil -lint "/Library/LaunchDaemons/local.slm-network.$name.plist"
  mac launchctl print "system/local.slm-network.$name" >/dev/null
done

say "the account of the daemons has no shell"
mac dscl . -read /Users/_slmnetwork UserShell | grep -q '/usr/bin/false'

say "a second pulumi up changes nothing"
pulumi up --yes --skip-preview --non-interactive --expect-no-changes >/dev/null

say "the doctor"
npm run -s doctor -- studio || echo "(failures here are the machine's own: a runner has no power button)"

say "the relay restarts after it was killed"
pid() { mac sudo -n launchctl list | awk '$3 == "local.slm-network.relay" { print $1 }'; }
before=$(pid)
mac sudo -n kill -9 "$before"
tries=0
until [ "$(pid)" != - ] && [ "$(pid)" != "$before" ]; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo "launchd did not start it again" >&2; exit 1; }
  sleep 1
done
say "all checks passed"
