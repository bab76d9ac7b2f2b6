/** The machine itself: system, chip, disk, clock, graphics, and who may do what on it. */
import { type Answer, type Expected, type Finding, outputOf, size, unknown } from "./finding.ts";

/** Node 24's own builds want it. https://github.com/nodejs/node/blob/v24.x/BUILDING.md#platform-list */
const oldestMacos = [13, 5] as const;

/** @param answer of `sw_vers` */
export function macosFinding(answer: Answer | undefined): Finding {
  const check = "macOS";
  const text = outputOf(answer);
  const version = /^ProductVersion:\s*(\S+)/m.exec(text ?? "")?.[1];
  if (text === undefined || version === undefined) return unknown(check, answer);
  const build = /^BuildVersion:\s*(\S+)/m.exec(text)?.[1];
  const found = `${version}${build ? ` (${build})` : ""}`;
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > oldestMacos[0] || (major === oldestMacos[0] && minor >= oldestMacos[1])) {
    return { check, level: "ok", found };
  }
  return {
    check,
    level: "fail",
    found,
    means: `The relay needs macOS ${oldestMacos.join(".")} or later.`,
    todo: "Update it: System Settings → General → Software Update.",
  };
}

/** @param answer of `uname -m; sysctl -n machdep.cpu.brand_string hw.memsize` */
export function chipFinding(answer: Answer | undefined): Finding {
  const check = "chip";
  const [machine, brand, memory] = (outputOf(answer) ?? "").trim().split("\n");
  if (!machine || !brand) return unknown(check, answer);
  const bytes = Number(memory);
  const found = `${brand}${bytes > 0 ? `, ${size(bytes / 1024)} of memory` : ""}`;
  if (machine === "arm64") return { check, level: "ok", found };
  return {
    check,
    level: "fail",
    found: `${found} (${machine})`,
    means: "Node and cloudflared are installed for Apple silicon.",
    todo: "Set artifacts.node and artifacts.cloudflared of the stack's config to builds for this chip.",
  };
}

/** Below this a model's update or macOS' own fails soon. */
const littleKib = 20 * 1024 * 1024;

/** @param answer of `df -Pk` for the folder with the data */
export function diskFinding(answer: Answer | undefined, { jobs }: Pick<Expected, "jobs">): Finding {
  const check = "disk";
  const row = (outputOf(answer) ?? "").trim().split("\n").at(-1) ?? "";
  const [, total, free] = /\s(\d+)\s+\d+\s+(-?\d+)\s+\d+%\s/.exec(row) ?? [];
  if (total === undefined || free === undefined) return unknown(check, answer);
  const found = `${size(Number(free))} free of ${size(Number(total))}`;
  const todo = "Remove what is not needed; models are the large ones (`ollama list`, `ollama rm <model>`).";
  if (Number(free) < jobs.minFreeMiB * 1024) {
    const means = `With less than ${size(jobs.minFreeMiB * 1024)} (jobs.minFreeMiB) no new job is taken: callers get 507 disk_low.`;
    return { check, level: "fail", found, means, todo };
  }
  if (Number(free) < littleKib) return { check, level: "warn", found, means: "It is filling up.", todo };
  return { check, level: "ok", found };
}

/** The relay takes a token that is this much too old or too young (`runtime/relay/access/access.ts`). */
const toleranceSeconds = 30;

/** @param answer of `date +%s` */
export function clockFinding(answer: Answer | undefined, { asked }: Pick<Expected, "asked">): Finding {
  const check = "clock";
  const seconds = Number((outputOf(answer) ?? "").trim() || Number.NaN);
  if (!Number.isInteger(seconds)) return unknown(check, answer);
  // The answer is a second's beginning, and came at some time in between.
  const behind = asked.from / 1000 - (seconds + 1);
  const ahead = seconds - asked.to / 1000;
  const off = Math.max(0, Math.ceil(Math.max(behind, ahead)));
  const found =
    off === 0 ? "as the one here" : `${off} s ${ahead > behind ? "ahead of" : "behind"} the one of this machine`;
  if (off <= 5) return { check, level: "ok", found };
  return {
    check,
    level: off > toleranceSeconds ? "fail" : "warn",
    found,
    means: `Sign-in tokens have a time; over ${toleranceSeconds} s every request is refused with 401. (It may be this machine's clock that is wrong.)`,
    todo: "On the Mac: System Settings → General → Date & Time → Set time and date automatically; or `sudo sntp -sS time.apple.com`.",
  };
}

/** @param answer of `system_profiler SPDisplaysDataType` */
export function metalFinding(answer: Answer | undefined): Finding {
  const check = "Metal";
  const text = outputOf(answer);
  if (text === undefined) return unknown(check, answer);
  const support = /^\s*Metal(?: Support| Family)?:\s*(.+)$/m.exec(text)?.[1];
  const chip = /^\s*Chipset Model:\s*(.+)$/m.exec(text)?.[1];
  const cores = /^\s*Total Number of Cores:\s*(\d+)/m.exec(text)?.[1];
  const found = [chip, cores && `${cores} cores`, support].filter(Boolean).join(", ");
  if (support && !/not supported/i.test(support)) return { check, level: "ok", found };
  return {
    check,
    level: "fail",
    found: found || "no graphics processor is shown",
    means: "The model runs on the processor alone, many times slower.",
    todo: "A virtual machine has no Metal; on a real Mac restart it, then look at Apple menu → About This Mac → More Info → System Report → Graphics.",
  };
}

/** @param answer of `sudo -n systemsetup -getremotelogin` */
export function remoteLoginFinding(answer: Answer | undefined): Finding {
  const check = "Remote Login";
  const text = outputOf(answer);
  const state = /^Remote Login: (\w+)/m.exec(text ?? "")?.[1];
  if (state === undefined) return unknown(check, answer, "It is on now: this was asked over it.");
  if (state === "On") return { check, level: "ok", found: "on" };
  return {
    check,
    level: "fail",
    found: `${state.toLowerCase()}, although this session works`,
    means: "After the next start the Mac is unreachable by SSH, and `pulumi up` fails.",
    todo: "System Settings → General → Sharing → Remote Login.",
  };
}

/** @param answer of `sudo -n true` @param prepare the text that lets the account in */
export function sudoFinding(answer: Answer | undefined, user: string): Finding {
  const check = "sudo";
  if (answer && !("unanswered" in answer) && answer.exitCode === 0) {
    return { check, level: "ok", found: `${user} becomes root without a password` };
  }
  return {
    check,
    level: "fail",
    found: `${user} may not use \`sudo -n\``,
    means: "`pulumi up` cannot install, and a part of these checks could not be made.",
    todo: "Run on the Mac what `npm run ssh -- --prepare` prints.",
  };
}
