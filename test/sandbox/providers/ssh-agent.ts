/** A real SSH agent on a Unix socket, with one key. */
import { createServer } from "node:net";
import ssh2 from "ssh2";

/** Listens at `path`. @returns how to end it */
export async function startSshAgent(path: string, privateKey: string): Promise<{ close(): Promise<void> }> {
  const key = ssh2.utils.parseKey(privateKey);
  if (key instanceof Error) throw key;
  const server = createServer((socket) => {
    const protocol = new ssh2.AgentProtocol(false);
    socket.on("error", () => {});
    protocol.on("error", () => socket.destroy());
    protocol.on("identities", (request) => protocol.getIdentitiesReply(request, [key]));
    protocol.on("sign", (request, _key, data) => protocol.signReply(request, key.sign(data)));
    socket.pipe(protocol).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { close: () => new Promise((resolve) => server.close(() => resolve())) };
}
