/**
 * The program behind the wrappers of emulated commands: `node client.ts <socket> <command> <arguments>`. Calls the Mac at
 * its socket and prints the result; `sudo` then runs its command here, in the caller's process group.
 */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { parseSudo, runAs } from "./sudo.ts";

interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

/** Not by zod: loading zod takes longer than the rest of an emulated command. */
function isAnswer(value: unknown): value is Answer {
  if (typeof value !== "object" || value === null) return false;
  const { code, stdout, stderr } = value as Record<string, unknown>;
  return typeof code === "number" && typeof stdout === "string" && typeof stderr === "string";
}

async function ask(socketPath: string, command: string, argv: string[], stdin: Buffer): Promise<Answer> {
  const socket = connect(socketPath);
  const user = process.env.SLM_SANDBOX_USER ?? process.env.USER ?? "";
  socket.end(`${JSON.stringify({ command, argv, cwd: process.cwd(), user, stdin: stdin.toString("base64") })}\n`);
  const answer: unknown = JSON.parse(await text(socket));
  if (!isAnswer(answer)) throw new Error("its response is malformed");
  return answer;
}

async function readStdin(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const [socketPath = "", command = "", ...argv] = process.argv.slice(2);
// Standard input is read only on request, because it may never end.
const wantsStdin = argv.includes("-") || (command === "shasum" && !argv.some((arg) => !/^(-.*|\d+)$/.test(arg)));
try {
  const sudo = command === "sudo" ? parseSudo(argv) : undefined;
  if (sudo !== undefined && "refusal" in sudo) {
    process.stderr.write(`${sudo.refusal}\n`);
    process.exitCode = 1;
  } else {
    const stdin = wantsStdin && sudo === undefined ? await readStdin() : Buffer.alloc(0);
    const answer = await ask(socketPath, command, sudo?.command ?? argv, stdin);
    process.stdout.write(answer.stdout);
    process.stderr.write(answer.stderr);
    process.exitCode = answer.code;
    if (answer.code === 0 && sudo !== undefined && sudo.command.length > 0) runAs(sudo);
  }
} catch (error) {
  process.stderr.write(`${command}: the sandbox's Mac does not answer: ${String(error)}\n`);
  process.exitCode = 70;
}
