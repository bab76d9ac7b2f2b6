/**
 * Does the Mac, or its jump host, answer at all? The upload of `up` has a time limit for the TCP connection only: a host that
 * accepts connections and stays mute (a hung sshd, a firewall's tarpit, another service on the port) would hold it without an
 * end (docs/providers.md, row 7). This takes seconds, so `up` asks it first.
 */
import { connect } from "node:net";
import { type Finding, fail, ok } from "../../accounts/finding.ts";
import { type MacTarget, openSession, SessionError } from "../../ssh/session.ts";

/** Longest silence after the TCP connection, in ms. sshd sends its banner at once. */
const bannerMs = 5_000;
const id = "mac.answers";

/** @returns a finding for each Mac whose first host is mute, or that is mute behind its jump host; reachability is not its question */
export async function muteFindings(targets: readonly MacTarget[], withinMs = bannerMs): Promise<Finding[]> {
  const found = await Promise.all(targets.map((target) => muteFinding(target, withinMs)));
  return found.filter((one) => one !== undefined);
}

async function muteFinding(target: MacTarget, withinMs: number): Promise<Finding | undefined> {
  const first = target.jump ?? target;
  const said = await banner(first.host, first.port, withinMs);
  if (said === "mute" || said === "another") {
    const who = target.jump ? "the jump host" : "the Mac";
    const how = said === "mute" ? `and says nothing for ${withinMs / 1000} s` : "and does not speak SSH";
    return fail(
      id,
      `${who} ${first.host}:${first.port} accepts connections ${how}: the upload would wait for it without an end`,
      "Restart it, or correct host and port; `ssh -v` shows the same. `npm run up -- --no-preflight` goes on all the same",
    );
  }
  if (said === "unreachable") return undefined; // the upload reports that by itself
  return target.jump ? behindJump(target, withinMs) : ok(id, `${target.host} answers by SSH`);
}

/** Signs in at the jump host: only from there can the Mac be asked. */
async function behindJump(target: MacTarget, withinMs: number): Promise<Finding | undefined> {
  try {
    await (await openSession(target, undefined, withinMs)).close();
    return ok(id, `${target.host} answers by SSH, through ${target.jump?.host}`);
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    if (!/timed? ?out|handshake/i.test(error.message)) return undefined;
    return fail(
      id,
      `the Mac ${target.host}:${target.port} behind ${target.jump?.host} does not answer within ${withinMs / 1000} s (${error.message})`,
      "Restart it, or correct host and port; `npm run up -- --no-preflight` goes on all the same",
    );
  }
}

/** What a server says first. */
function banner(host: string, port: number, withinMs: number): Promise<"ssh" | "another" | "mute" | "unreachable"> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let connected = false;
    const end = (said: "ssh" | "another" | "mute" | "unreachable") => {
      clearTimeout(timer);
      socket.destroy();
      resolve(said);
    };
    const timer = setTimeout(() => end(connected ? "mute" : "unreachable"), withinMs);
    socket.once("connect", () => (connected = true));
    socket.once("data", (bytes: Buffer) => end(bytes.toString("latin1").startsWith("SSH-") ? "ssh" : "another"));
    socket.once("error", () => end("unreachable"));
    socket.once("close", () => end(connected ? "mute" : "unreachable"));
  });
}
