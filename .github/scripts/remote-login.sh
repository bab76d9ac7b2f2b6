#!/bin/sh
# Remote Login of this Mac to itself, for a hosted runner: turns sshd on and adds a key. Prints the variables that point the
# sandbox there; a workflow appends them to $GITHUB_ENV. Only for a disposable machine: it opens sshd.
set -eu

folder=${HOME}/.ssh
key=$folder/slm-network-ci
mkdir -p "$folder"
chmod 700 "$folder"
[ -f "$key" ] || ssh-keygen -q -t ed25519 -N '' -C slm-network-ci -f "$key"
touch "$folder/authorized_keys"
chmod 600 "$folder/authorized_keys"
grep -qxF "$(cat "$key.pub")" "$folder/authorized_keys" || cat "$key.pub" >>"$folder/authorized_keys"

# `systemsetup -setremotelogin` would want Full Disk Access.
sudo -n launchctl print system/com.openssh.sshd >/dev/null 2>&1 ||
  sudo -n launchctl load -w /System/Library/LaunchDaemons/ssh.plist

tries=0
until ssh -i "$key" -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o IdentitiesOnly=yes \
  "$(id -un)@127.0.0.1" true; do
  tries=$((tries + 1))
  [ "$tries" -lt 20 ] || { echo "this machine's sshd does not accept $key for $(id -un)" >&2; exit 1; }
  sleep 1
done

echo "SANDBOX_MAC=this"
echo "SANDBOX_SSH=$(id -un)@127.0.0.1:22"
echo "SANDBOX_SSH_KEY=$key"
