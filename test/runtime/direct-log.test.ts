/** Messages as OpenSSH 9.2 writes them. */
import { describe, expect, it } from "vitest";
import { explainLine, parseLineLog, readLineState } from "../../runtime/direct-log.ts";

const up = 'Authenticated to 10.0.0.5 ([10.0.0.5]:22) using "publickey".\n';
const line = { server: "backend", host: "10.0.0.5", port: 22, user: "slm-direct", listen: "127.0.0.1:18400" };

describe("the log of a line", () => {
  it.each<[string, string, { connected: boolean; reason?: string }]>([
    ["is empty", "", { connected: false, reason: "no connection yet" }],
    ["connected", up, { connected: true }],
    ["connected, a call failed", `${up}connect_to 127.0.0.1 port 8793: failed.\r\n`, { connected: true }],
    ["connected, after the server's banner", `slm-direct: silent connections are ended\n${up}`, { connected: true }],
    [
      "the server's banner only",
      "slm-direct: silent connections are ended\n",
      { connected: false, reason: "the connection ended" },
    ],
    [
      "ended",
      `${up}Transferred: sent 1, received 2 bytes, in 3.0 seconds\nBytes per second: sent 1, received 2\n`,
      { connected: false, reason: "the connection ended" },
    ],
    [
      "timed out",
      `${up}Timeout, server 10.0.0.5 not responding.\r\nTransferred: sent 1\n`,
      { connected: false, reason: "Timeout, server 10.0.0.5 not responding." },
    ],
    [
      "port taken",
      `${up}Error: remote port forwarding failed for listen port 18400\n`,
      { connected: false, reason: "Error: remote port forwarding failed for listen port 18400" },
    ],
    [
      "refused, then connected",
      `ssh: connect to host 10.0.0.5 port 22: Connection refused\r\n${up}`,
      { connected: true },
    ],
  ])("%s", (_what, text, state) => {
    expect(parseLineLog(text)).toEqual(state);
  });

  it("that is missing is not an error", async () => {
    expect(await readLineState("/nonexistent/direct-backend.log")).toEqual({
      connected: false,
      reason: "there is no log",
    });
  });

  it.each([
    [
      "Error: remote port forwarding failed for listen port 18400",
      /refuses to listen on 127\.0\.0\.1:18400: another program/,
    ],
    ["slm-direct@10.0.0.5: Permission denied (publickey).", /does not accept the Mac's key/],
    ["Host key verification failed.", /host key that differs/],
    ["ssh: Could not resolve hostname x: Name or service not known", /cannot resolve/],
    ["ssh: connect to host 10.0.0.5 port 22: Operation timed out", /firewall/],
  ])("explains %s", (reason, why) => {
    expect(explainLine(reason, line)).toMatch(why);
  });
});
