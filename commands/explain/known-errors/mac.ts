/** Errors of SSH and of the installation on the Mac. */
import type { KnownError } from "../known-error.ts";

export const macErrors: readonly KnownError[] = [
  {
    id: "ssh.host-key",
    pattern:
      /host key mismatch|knownhosts: key mismatch|HOST IDENTIFICATION HAS CHANGED|is not the host whose key the config has|presented a host key that differs from the config/i,
    says: () =>
      "the Mac's host key differs from the config's (another machine has that address, or macOS was reinstalled)",
    todo: () =>
      "Compare `ssh-keyscan -t ed25519 <host>` with what the Mac itself prints (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`) before you change macs[0].hostKey",
  },
  {
    id: "ssh.refused",
    pattern:
      /unable to authenticate|All configured authentication methods failed|Permission denied \(publickey|does not let \S+ in with this key|refused \S+ with this key/i,
    says: () => "the Mac does not accept the SSH key",
    todo: () =>
      "`ssh-add -l` lists the agent's keys; add the public key to ~/.ssh/authorized_keys of macs[0].user on the Mac (`ssh-copy-id`)",
  },
  {
    id: "ssh.agent",
    pattern: /SSH agent.{0,80}(?:does not answer|not found)|SSH_AUTH_SOCK/,
    says: () => "no SSH agent with a key is available",
    todo: () => '`eval "$(ssh-agent)" && ssh-add` in this terminal',
  },
  {
    id: "ssh.jump",
    pattern: /proxy: .*ssh: handshake failed: EOF/,
    says: () =>
      "the handshake with the Mac through the jump host failed; its cause was in the first attempt, and the repeated ones only show EOF (a wrong macs[].hostKey looks like this)",
    todo: () => "`npm run preflight` signs in by itself and shows the cause",
  },
  {
    id: "ssh.unreachable",
    general: true,
    pattern:
      /dial tcp \S+:\d+: (?:connect: |i\/o )?(.{0,60})|connect (?:ECONNREFUSED|EHOSTUNREACH|ETIMEDOUT) (\S+)|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) (\S+)/,
    says: ([text = ""]) => `a host does not answer (${text.trim()})`,
    todo: () =>
      "If it is the Mac: is it on and in this network, and is Remote Login on? `npm run preflight` shows which step fails",
  },
  {
    id: "mac.former",
    pattern:
      /former one at (\S+).{0,40} (?:cannot be reached to take it out of service|could not be taken out of service)/,
    says: ([, where = ""]) => `the Mac that was moved away from (${where}) does not answer, so it may still be serving`,
    todo: () =>
      "Switch it on and run it again; if it no longer exists: `previous: gone` in macs[0] of the stack file, run it again, then remove that line",
  },
  {
    id: "mac.removal",
    pattern: /the Mac at (\S+).{0,40} cannot be reached, so nothing can be removed from it/,
    says: ([, where = ""]) => `the Mac (${where}) does not answer, so it cannot be uninstalled`,
    todo: () =>
      "Switch it on and run it again; if it no longer exists: `skipRemoval: true` in macs[0], `pulumi up`, then `pulumi destroy`",
  },
  {
    id: "mac.read-only-key",
    pattern: /the key that signs in as (\S+) on (\S+) runs a forced command there/,
    says: ([, user = "", where = ""]) => `the key for ${user} on ${where} can only read the Mac's state`,
    todo: () => "Use the deploy key: SLM_NETWORK_SSH_KEY=<file>, or the SSH agent with SLM_NETWORK_SSH_KEY unset",
  },
  {
    id: "mac.sudo",
    pattern: /sudo: a password is required|sudo: (?:a )?terminal is required|may not run sudo|may not use `sudo -n`/i,
    says: () => "the account on the Mac cannot use `sudo -n`",
    todo: () => "On the Mac, once: `echo '<user> ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/slm-network`",
  },
];
