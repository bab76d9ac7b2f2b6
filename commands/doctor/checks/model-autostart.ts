/** Does launchd start the model server, so that it runs without a login? */
import { defineCheck, ok, outputOf, unknown, warn } from "../check.ts";
import { autoLoginUser, firstProcess, listenerOf, localModelPort } from "../commands.ts";
import { messagesIn } from "../messages.ts";

/** A row of `ps -axo pid=,ppid=,user=,command=`. */
interface Process {
  readonly parent: number;
  readonly user: string;
  readonly command: string;
}

function readProcesses(text: string): Map<number, Process> {
  const rows = [...text.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/gm)];
  return new Map(
    rows.map(([, pid, parent, user = "", command = ""]) => [Number(pid), { parent: Number(parent), user, command }]),
  );
}

/** @param text of `launchctl list` as root: the system domain, which runs without a login. @returns labels by process id */
function readServices(text: string): Map<number, string> {
  return new Map([...text.matchAll(/^(\d+)\t-?\d+\t(\S+)$/gm)].map(([, pid, label = ""]) => [Number(pid), label]));
}

export const modelAutostart = defineCheck({
  name: "model server's start",
  commands({ model }) {
    const port = localModelPort(model);
    if (port === undefined) return {};
    return {
      listener: listenerOf(port),
      processes: "ps -axo pid=,ppid=,user=,command=",
      services: "sudo -n launchctl list",
      autoLogin: autoLoginUser,
    };
  },
  evaluate(answers, context) {
    const { model } = context;
    const say = messagesIn(context).modelAutostart;
    if (localModelPort(model) === undefined) return ok(say.elsewhere);
    const pid = firstProcess(outputOf(answers.listener));
    const processes = readProcesses(outputOf(answers.processes) ?? "");
    const services = outputOf(answers.services);
    if (pid === undefined || services === undefined) return unknown(context, answers.listener ?? answers.services);
    const labels = readServices(services);
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = processes.get(at)?.parent) {
      const label = labels.get(at);
      if (label !== undefined) return ok(say.byLaunchd(label));
    }
    const process = processes.get(pid);
    const user = (outputOf(answers.autoLogin) ?? "").trim();
    const shown = process ? say.processOf(process.user, process.command.slice(0, 80)) : "";
    return warn(...say.bySession(pid, shown, user));
  },
});
