/** What has to be done on a Mac once, by hand: one paste into its Terminal, for somebody who is no administrator. */

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
/** What a public key looks like, for those who have not given theirs. */
export const keyPlaceholder = "ssh-ed25519 AAAA… you@office";

/** Steps that make an account which may sign in by SSH, with a password that nobody knows: without one it would be empty. */
const createAccountSteps = (user: string): string[] => [
  `id ${user} >/dev/null 2>&1 || sysadminctl -addUser ${user} -shell /bin/zsh -home /Users/${user} -password "$(openssl rand -base64 24)"`,
  `[ -d /Users/${user} ] || createhomedir -c -u ${user}`,
  // The group is there only once Remote Login has been limited to some accounts; without it everybody may.
  `dseditgroup -o edit -a ${user} -t user com.apple.access_ssh 2>/dev/null || true`,
];

/** Steps that write a sudoers rule, checked before it counts: one with a fault would lock everybody out of `sudo`. */
const sudoersSteps = (name: string, rule: string): string[] => [
  `echo ${quote(rule).replaceAll("'", '"')} > /etc/${name}.sudoers`,
  `visudo -cf /etc/${name}.sudoers`,
  `install -o root -g wheel -m 0440 /etc/${name}.sudoers /etc/sudoers.d/${name}`,
  `rm /etc/${name}.sudoers`,
];

/** Steps that let the key in the script's first argument in, as the account. */
const authorizeKeySteps = (user: string): string[] => [
  `install -d -o ${user} -g staff -m 0700 /Users/${user}/.ssh`,
  `touch /Users/${user}/.ssh/authorized_keys`,
  `grep -qxF "$1" /Users/${user}/.ssh/authorized_keys || printf "%s\\n" "$1" >> /Users/${user}/.ssh/authorized_keys`,
  `chown ${user}:staff /Users/${user}/.ssh/authorized_keys`,
  `chmod 0600 /Users/${user}/.ssh/authorized_keys`,
];

/**
 * One paste that lets a key in which can read the Mac's state and do nothing else: for a machine that only previews. sshd runs
 * the forced command whatever the client asks for, and the account's sudo allows that one command, without arguments.
 * @param user an account of its own; one that exists keeps the rights it has
 * @param command what the key runs, e.g. `inspectCommand` of runtime/installer/mac-state.ts
 * @param program the only thing the account may run as root, absolute
 */
export function prepareInspectText(user: string, publicKey: string, command: string, program: string): string {
  const script = [
    "set -e",
    ...createAccountSteps(user),
    // sshd takes the first line with the key: one without the limit would let it do everything.
    `if grep -F "$2" /Users/${user}/.ssh/authorized_keys 2>/dev/null | grep -qvxF "$1"; then echo "NOT DONE: /Users/${user}/.ssh/authorized_keys has this key already with other rights: remove that line, or use another key"; exit 1; fi`,
    ...sudoersSteps("slm-network-inspect", `${user} ALL=(root) NOPASSWD: ${program} \\"\\"`),
    ...authorizeKeySteps(user),
  ].join("\n");
  // `restrict`: no forwarding, no terminal, no rc file (sshd(8)).
  const line = `restrict,command="${command.replaceAll('"', '\\"')}" ${publicKey}`;
  return `sudo /bin/sh -c ${quote(script)} prepare ${quote(line)} ${quote(publicKey.split(" ")[1] ?? "")}`;
}

/**
 * One paste: Remote Login on, an account that may become root without a password, and a key that lets it in. Each part may
 * run again. The sudoers file is checked before it counts (one with a fault would lock everybody out of `sudo`).
 * @param publicKey the public half of the key of whoever runs `pulumi up`; without one a placeholder stands there
 */
export function prepareText(user: string, publicKey = keyPlaceholder): string {
  const rule = `${user} ALL=(ALL) NOPASSWD: ALL`;
  // In one pair of quotes for sh -c, so that sudo asks for the password once, and nothing is done by halves.
  const script = [
    "set -e",
    ...createAccountSteps(user),
    ...sudoersSteps("slm-network", rule),
    ...authorizeKeySteps(user),
    // systemsetup needs Full Disk Access for the Terminal and does not fail without: what counts is whether sshd is there.
    "is_on() { launchctl print system/com.openssh.sshd >/dev/null 2>&1; }",
    "is_on || systemsetup -f -setremotelogin on >/dev/null 2>&1 || true",
    "is_on || launchctl load -w /System/Library/LaunchDaemons/ssh.plist || true",
    'is_on || echo "NOT DONE: switch on System Settings, General, Sharing, Remote Login"',
    'echo "The key of this Mac, for hostKey in the stack file:"',
    'cut -d " " -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub',
  ].join("\n");
  return `sudo /bin/sh -c ${quote(script)} prepare ${quote(publicKey)}`;
}
