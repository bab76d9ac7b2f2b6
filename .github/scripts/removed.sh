#!/bin/sh
# After `pulumi destroy` (here: `npm run sandbox -- --reset`) on this Mac: lists what is left behind. The data are kept on
# purpose. ROOT prefixes the paths, for tests.
set -eu

left=0
for path in /usr/local/slm-network /etc/slm-network /Library/LaunchDaemons/local.slm-network.relay.plist \
  /Library/LaunchDaemons/local.slm-network.connector.plist; do
  [ ! -e "${ROOT:-}$path" ] || { echo "left behind: $path" >&2; left=1; }
done
for name in relay connector; do
  ! launchctl print "system/local.slm-network.$name" >/dev/null 2>&1 || { echo "still loaded: $name" >&2; left=1; }
done
! dscl . -read /Users/_slmnetwork >/dev/null 2>&1 || { echo "left behind: the account _slmnetwork" >&2; left=1; }
exit "$left"
