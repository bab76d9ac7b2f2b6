/** Does the Mac wait for a password at every start? */
import { defineCheck, fail, ok, unknown } from "../check.ts";

export const fileVault = defineCheck({
  name: "FileVault",
  commands: () => ({ active: "fdesetup isactive" }),
  evaluate({ active: answer }) {
    if (!answer || "unanswered" in answer) return unknown(answer);
    // Exit code 0 is on, 1 is off (fdesetup(8)).
    const text = answer.stdout.trim();
    if (text === "false" && answer.exitCode !== 0) return ok("off: the Mac starts unattended");
    if (text !== "true") return unknown(answer);
    return fail(
      "on",
      "After a power cut the Mac waits for a password before anything starts; no setting avoids that. On macOS 26 the password can be entered over SSH (as a user of the Mac), otherwise at its screen.",
      "Either turn it off (System Settings → Privacy & Security → FileVault) and lock the Mac away, or keep it on and plan for somebody to come after a power cut.",
    );
  },
});
