/** How the Mac is reached, and that it is the right one. */
import { fetchHostKey, type HostKey } from "../../ssh/session.ts";
import { InitRefusal } from "../refusal.ts";
import type { Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** An entry of `macs`, as far as init decides it. */
export interface MacChoice {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly hostKey: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
}

/** What the file that is there already says. */
export type KnownMac = Partial<Pick<MacChoice, "host" | "port" | "user" | "hostKey">>;

/** @throws SessionError when the Mac does not answer; InitRefusal when its key is not the one that was given */
export async function chooseMac(
  known: KnownMac,
  { asker, options, say }: { asker: Asker; options: Options; say: (line: string) => void },
): Promise<MacChoice> {
  const host = await asker.text({
    flag: "--mac-host",
    given: options.macHost,
    question: "The Mac's address or name in the office's network:",
    preferred: known.host,
    fault: (text) => faultAt(["macs", 0, "host"], text),
  });
  const port = options.macPort ?? known.port ?? 22;
  const portFault = faultAt(["macs", 0, "port"], port);
  if (portFault) throw new InitRefusal(`--mac-port: ${portFault}`);
  const user = await asker.text({
    flag: "--mac-user",
    given: options.macUser,
    question: "The account on the Mac that may use `sudo -n`:",
    preferred: known.user ?? "deploy",
    fault: (text) => faultAt(["macs", 0, "user"], text),
  });
  const shown = await fetchHostKey(host, port);
  await confirmKey(shown, { host, known: known.host === host ? known.hostKey : undefined, asker, options, say });
  return { host, port, user, hostKey: shown.line, fingerprint: shown.fingerprint };
}

const onTheMac = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub";

async function confirmKey(
  shown: HostKey,
  about: { host: string; known: string | undefined; asker: Asker; options: Options; say: (line: string) => void },
): Promise<void> {
  const { host, known, asker, options, say } = about;
  const { hostKey: given } = options;
  if (given !== undefined) {
    if (given === shown.fingerprint || sameKey(given, shown.line))
      return say(`host key: ${shown.fingerprint}, as given`);
    throw new InitRefusal(
      `${host} shows the key ${shown.fingerprint}, not the one of --host-key (${given}): it may be another machine. On the Mac itself: ${onTheMac}`,
    );
  }
  if (known !== undefined && sameKey(known, shown.line)) return say(`host key: ${shown.fingerprint}, as before`);
  say(`host key: ${host} shows ${shown.fingerprint}`);
  say(`          In the Mac's own Terminal it must be the same: ${onTheMac}`);
  const agreed = await asker.agree("Does the Mac itself show this fingerprint?", false);
  if (agreed) return;
  throw new InitRefusal(
    asker.asks
      ? "then it is another machine, or somebody is in between: nothing was written. See which machine has this address"
      : `nobody vouches for this key. Compare it with what the Mac itself shows (${onTheMac}), then say --host-key ${shown.fingerprint}`,
  );
}

/** Are they the same but for a comment? */
const sameKey = (one: string, other: string): boolean =>
  one.trim().split(/\s+/).slice(0, 2).join(" ") === other.trim().split(/\s+/).slice(0, 2).join(" ");
