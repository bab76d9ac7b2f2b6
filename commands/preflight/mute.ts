/**
 * Does the Mac, or its jump host, answer at all? The upload of `up` has a time limit for the TCP connection only: a host that
 * accepts connections and stays mute (a hung sshd, a firewall's tarpit, another service on the port) would hold it without an
 * end (docs/providers.md, row 7). This takes seconds, so `up` asks it first.
 */
import { connect } from "node:net";
import type { Finding } from "../../accounts/finding.ts";
import { type MacTarget, openSession, SessionError } from "../../ssh/session.ts";
import { fail, ok } from "./messages.ts";

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
    const [silent, other] = target.jump ? (["jumpSilent", "jumpOther"] as const) : (["macSilent", "macOther"] as const);
    const at = `${first.host}:${first.port}`;
    return fail(id, (say) => (said === "mute" ? say.mute[silent](at, withinMs / 1000) : say.mute[other](at)));
  }
  if (said === "unreachable") return undefined; // the upload reports that by itself
  return target.jump ? behindJump(target, withinMs) : ok(id, (say) => say.mute.answers(target.host));
}

/** Signs in at the jump host: only from there can the Mac be asked. */
async function behindJump(target: MacTarget, withinMs: number): Promise<Finding | undefined> {
  const jump = target.jump?.host ?? "";
  try {
    await (await openSession(target, undefined, withinMs)).close();
    return ok(id, (say) => say.mute.answersThrough(target.host, jump));
  } catch (error) {
    if (!(error instanceof SessionError)) throw error;
    if (!/timed? ?out|handshake/i.test(error.message)) return undefined;
    return fail(id, (say) => say.mute.behind(`${target.host}:${target.port}`, jump, withinMs / 1000, error));
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
