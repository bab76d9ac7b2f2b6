/**
 * Ends dead connections of direct lines on the company's server. sshd's own ClientAliveInterval does not do that while calls
 * come: it counts from the last event of any kind, and each new connection to the forwarded port is one (serverloop.c,
 * `wait_until_can_do_something`: the check is made only when ppoll ran into its timeout; seen in 7.4 to 9.2). Nor does TCP in
 * time: Linux repeats an unacknowledged packet for a quarter of an hour (tcp_retries2), and a stopped process acknowledges.
 */

/** Name of the systemd unit. */
export const watchService = "slm-direct-watch.service";

/** First word of the banner, by which the Mac's installer recognises it (`runtime/installer/direct-probe.ts`). */
const bannerText = "slm-direct: silent connections are ended";

/** In milliseconds. A living Mac sends something at least every 20 s: ServerAliveInterval and ClientAliveInterval are 10 s. */
const silentAfterMs = 33_000;
/** In seconds. Together with `silentAfterMs` a port is free within 45 s. */
const everySeconds = 5;

/**
 * The program, for /bin/sh as root, with iproute2's `ss`: it looks at the sshd process that holds a line's port, and at
 * when the kernel last received data on that process' own connection.
 * @param keysFile `authorized_keys` of the lines, which names their ports
 * @param bannerFile exists while it runs
 */
export function watchScript(keysFile: string, bannerFile: string): string {
  return `#!/bin/sh
# Written by slm-network: ends an sshd session that holds the port of a direct line and heard nothing from the Mac for
# ${silentAfterMs / 1000} s. sshd does that by itself only while no call comes.
keys=${keysFile}
banner=${bannerFile}
trap 'rm -f "$banner"' EXIT
trap 'exit 0' TERM INT HUP
mkdir -p "\${banner%/*}"
echo "${bannerText}" > "$banner"
while sleep ${everySeconds}; do
  for listen in $(sed -n 's/.*permitlisten="\\([^"]*\\)".*/\\1/p' "$keys"); do
    port=\${listen##*:}
    for pid in $(ss -Htlnp "sport = :$port" | sed -n 's/.*"sshd[a-z-]*",pid=\\([0-9]*\\),.*/\\1/p'); do
      # Its connections to callers have the line's port; the other one leads to the Mac.
      silent=$(ss -Htnpi state connected | awk -v pid="pid=$pid," -v port=":$port$" '
        /^[^ \\t]/ { isLine = index($0, pid) && $4 !~ port; next }
        isLine && match($0, /lastrcv:[0-9]+/) { print substr($0, RSTART + 8, RLENGTH - 8); exit }')
      [ "\${silent:-0}" -gt ${silentAfterMs} ] || continue
      echo "direct line on $listen: nothing was heard from the Mac for $silent ms, so the session (process $pid) is ended"
      kill -KILL "$pid"
    done
  done
done
`;
}

/** @returns the systemd unit that keeps `watchScript` running. @param script its path */
export function watchUnit(script: string): string {
  return `[Unit]
Description=Ends dead connections of slm-network's direct lines

[Service]
ExecStart=/bin/sh ${script}
Restart=always
RestartSec=5
RuntimeDirectory=slm-direct
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
`;
}
