/** Chooses how the Mac is reached, and confirms its host key. */
import { fetchHostKey, type HostKey } from "../../ssh/session.ts";
import { Refusal } from "../errors.ts";
import type { Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** The part of an entry of `macs` that init decides. */
export interface MacChoice {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly hostKey: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
}

/** What the existing stack file says. */
export type KnownMac = Partial<Pick<MacChoice, "host" | "port" | "user" | "hostKey">>;

/** @throws SessionError when the Mac does not answer; Refusal when its key differs from the given one */
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
  if (portFault) throw new Refusal(`--mac-port: ${portFault}`);
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
    throw new Refusal(
      `${host} shows the key ${shown.fingerprint}, not the one of --host-key (${given}): it may be another machine. Compare on the Mac itself: ${onTheMac}`,
    );
  }
  if (known !== undefined && sameKey(known, shown.line)) return say(`host key: ${shown.fingerprint}, as before`);
  say(`host key: ${host} shows ${shown.fingerprint}`);
  say(`          Compare in the Mac's own Terminal: ${onTheMac}`);
  const agreed = await asker.agree("Does the Mac print the same fingerprint?", false);
  if (agreed) return;
  throw new Refusal(
    asker.asks
      ? "it is another machine, or the connection is intercepted: nothing was written. Find out which machine has this address"
      : `this key is not confirmed. Compare it with what the Mac itself prints (${onTheMac}), then set --host-key ${shown.fingerprint}`,
  );
}

/** Compares type and key, not the comment. */
const sameKey = (one: string, other: string): boolean =>
  one.trim().split(/\s+/).slice(0, 2).join(" ") === other.trim().split(/\s+/).slice(0, 2).join(" ");
