/**
 * What the wrapper of `sudo` starts: `node sudo-client.ts <socket> sudo <arguments>`. Asks the Mac at its socket whether the
 * caller may, then runs the command here, in the caller's process group. The other commands have a client that starts faster
 * (client.pl).
 */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { parseSudo, runAs } from "./sudo.ts";

interface Answer {
  code: number;
  output: string;
}

/** @param socketPath the Mac's control socket; its protocol is in ../control.ts */
async function ask(socketPath: string, argv: string[]): Promise<Answer> {
  const socket = connect(socketPath);
  const user = process.env.SLM_SANDBOX_USER ?? process.env.USER ?? "";
  socket.end(`${JSON.stringify({ command: "sudo", argv, cwd: process.cwd(), user, stdin: "" })}\n`);
  const [, code, output] = /^(\d+) \d+\n([\s\S]*)$/.exec(await text(socket)) ?? [];
  if (code === undefined || output === undefined) throw new Error("unexpected answer");
  return { code: Number(code), output };
}

const [socketPath = "", , ...argv] = process.argv.slice(2);
try {
  const sudo = parseSudo(argv);
  if ("refusal" in sudo) {
    process.stderr.write(`${sudo.refusal}\n`);
    process.exitCode = 1;
  } else {
    const { code, output } = await ask(socketPath, sudo.command);
    process.stderr.write(output); // sudo itself prints nothing on standard output
    process.exitCode = code;
    if (code === 0 && sudo.command.length > 0) runAs(sudo);
  }
} catch (error) {
  process.stderr.write(`sudo: the sandbox's Mac does not answer: ${String(error)}\n`);
  process.exitCode = 70;
}
