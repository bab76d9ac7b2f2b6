/**
 * The Unix socket at which the emulated commands reach the Mac. One call per connection. The call is a line of JSON, its
 * standard input in hexadecimal; the answer is `<exit code> <bytes of standard output>`, a line feed, standard output, and
 * standard error until the end.
 */
import { createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { z } from "zod";
import type { Answer, Machine } from "./commands/command.ts";
import { commands } from "./commands/table.ts";

const callSchema = z.object({
  command: z.string(),
  argv: z.array(z.string()),
  cwd: z.string(),
  user: z.string(),
  stdin: z.hex(),
});

/** The listening socket. */
export interface Control {
  /** Stops listening and cuts the connections. */
  close(): Promise<void>;
}

/** Listens at `socketPath`, which must not exist. */
export async function startControl(socketPath: string, mac: Machine): Promise<Control> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    void text(socket)
      .then((line) => run(line, mac))
      .then(
        ({ code, stdout, stderr }) => socket.end(`${code} ${Buffer.byteLength(stdout)}\n${stdout}${stderr}`),
        () => socket.destroy(),
      );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(socketPath, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function run(line: string, mac: Machine): Promise<Answer> {
  const call = callSchema.parse(JSON.parse(line));
  const command = Object.hasOwn(commands, call.command) ? commands[call.command] : undefined;
  if (command === undefined) return { code: 127, stdout: "", stderr: `${call.command}: command not found\n` };
  // A process with an empty environment counts as the administrator, who has fewer rights.
  const user = mac.directory.get("Users", call.user) === undefined ? mac.admin : call.user;
  try {
    return await command.run({ ...call, user, stdin: Buffer.from(call.stdin, "hex") }, mac);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: 1, stdout: "", stderr: `${call.command}: ${message}\n` };
  }
}
