/** One-time manual preparation of a Mac: one paste into its Terminal, for someone who is not an administrator. */

import { quote } from "../runtime/shell.ts";

/** Placeholder for a public key that was not given. */
export const keyPlaceholder = "ssh-ed25519 AAAA… you@office";

/** Create an account for SSH, with a random password: without one it would be empty. */
const createAccountSteps = (user: string): string[] => [
  `id ${user} >/dev/null 2>&1 || sysadminctl -addUser ${user} -shell /bin/zsh -home /Users/${user} -password "$(openssl rand -base64 24)"`,
  `[ -d /Users/${user} ] || createhomedir -c -u ${user}`,
  // The group exists only if Remote Login is limited to some accounts; without it all accounts may log in.
  `dseditgroup -o edit -a ${user} -t user com.apple.access_ssh 2>/dev/null || true`,
];

/** Write a sudoers rule, validated before it is installed: a syntax error would disable `sudo` for everyone. */
const sudoersSteps = (name: string, rule: string): string[] => [
  `echo ${quote(rule).replaceAll("'", '"')} > /etc/${name}.sudoers`,
  `visudo -cf /etc/${name}.sudoers`,
  `install -o root -g wheel -m 0440 /etc/${name}.sudoers /etc/sudoers.d/${name}`,
  `rm /etc/${name}.sudoers`,
];

/** Authorize the key in the script's first argument for the account. */
const authorizeKeySteps = (user: string): string[] => [
  `install -d -o ${user} -g staff -m 0700 /Users/${user}/.ssh`,
  `touch /Users/${user}/.ssh/authorized_keys`,
  `grep -qxF "$1" /Users/${user}/.ssh/authorized_keys || printf "%s\\n" "$1" >> /Users/${user}/.ssh/authorized_keys`,
  `chown ${user}:staff /Users/${user}/.ssh/authorized_keys`,
  `chmod 0600 /Users/${user}/.ssh/authorized_keys`,
];

/**
 * One paste that authorizes a key which can only read the Mac's state, for a machine that only previews. sshd always runs
 * the forced command, and the account's sudo allows only that command, without arguments.
 * @param user a dedicated account; an existing one keeps its rights
 * @param command the forced command, e.g. `inspectCommand` of runtime/installer/mac-state.ts
 * @param program the only program the account may run as root, absolute path
 */
export function prepareInspectText(user: string, publicKey: string, command: string, program: string): string {
  const script = [
    "set -e",
    ...createAccountSteps(user),
    // sshd uses the first line with the key: one without the restriction would allow everything.
    `if grep -F "$2" /Users/${user}/.ssh/authorized_keys 2>/dev/null | grep -qvxF "$1"; then echo "NOT DONE: /Users/${user}/.ssh/authorized_keys has this key already with other rights: remove that line, or use another key"; exit 1; fi`,
    ...sudoersSteps("slm-network-inspect", `${user} ALL=(root) NOPASSWD: ${program} \\"\\"`),
    ...authorizeKeySteps(user),
  ].join("\n");
  // `restrict`: no forwarding, no terminal, no rc file (sshd(8)).
  const line = `restrict,command="${command.replaceAll('"', '\\"')}" ${publicKey}`;
  return `sudo /bin/sh -c ${quote(script)} prepare ${quote(line)} ${quote(publicKey.split(" ")[1] ?? "")}`;
}

/**
 * One paste: Remote Login on, an account with passwordless sudo, and an authorized key. Every step can be repeated.
 * @param publicKey of the person who runs `pulumi up`; default: a placeholder
 */
export function prepareText(user: string, publicKey = keyPlaceholder): string {
  const rule = `${user} ALL=(ALL) NOPASSWD: ALL`;
  // One quoted script for sh -c, so that sudo asks for the password once and a failed step stops the rest.
  const script = [
    "set -e",
    ...createAccountSteps(user),
    ...sudoersSteps("slm-network", rule),
    ...authorizeKeySteps(user),
    // systemsetup needs Full Disk Access for the Terminal and does not fail without it: check whether sshd is loaded.
    "is_on() { launchctl print system/com.openssh.sshd >/dev/null 2>&1; }",
    "is_on || systemsetup -f -setremotelogin on >/dev/null 2>&1 || true",
    "is_on || launchctl load -w /System/Library/LaunchDaemons/ssh.plist || true",
    'is_on || echo "NOT DONE: switch on System Settings, General, Sharing, Remote Login"',
    'echo "The key of this Mac, for hostKey in the stack file:"',
    'cut -d " " -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub',
  ].join("\n");
  return `sudo /bin/sh -c ${quote(script)} prepare ${quote(publicKey)}`;
}
