import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { muteFindings } from "../../../commands/preflight/mute.ts";
import { claimPort } from "../../../sandbox/machine/ports.ts";
import { startSshServer } from "../../sandbox/providers/ssh-server.ts";

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP7LgP5kVQVxvS3TqFCxnPCyMbOZ1bIYwJ+2GfkJl0yN";
const target = (port: number) => ({ host: "127.0.0.1", port, user: "deploy", hostKey });

async function server(greeting: string | undefined, work: (port: number) => Promise<void>): Promise<void> {
  const sockets: Socket[] = [];
  const listening = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    if (greeting !== undefined) socket.write(greeting);
  });
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  try {
    await work((listening.address() as AddressInfo).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    listening.close();
  }
}

it("reports a Mac that accepts connections and stays mute, within the limit", () =>
  server(undefined, async (port) => {
    expect(await muteFindings([target(port)], 200)).toEqual([
      expect.objectContaining({
        level: "fail",
        id: "mac.answers",
        says: expect.stringMatching(/the Mac .*says nothing/),
      }),
    ]);
  }));

it("reports a mute jump host by its own address", () =>
  server(undefined, async (port) => {
    const [finding] = await muteFindings([{ ...target(1), jump: target(port) }], 200);
    expect(finding).toMatchObject({ level: "fail", says: expect.stringContaining(`the jump host 127.0.0.1:${port}`) });
  }));

it("reports another service on the port", () =>
  server("HTTP/1.1 400 Bad Request\r\n\r\n", async (port) => {
    expect(await muteFindings([target(port)], 5_000)).toMatchObject([
      { level: "fail", says: expect.stringContaining("does not speak SSH") },
    ]);
  }));

it("accepts an SSH server, and leaves a closed port to the upload's own error", async () => {
  const folder = mkdtempSync(join(tmpdir(), "slm-mute-"));
  const ssh = await startSshServer(folder);
  try {
    expect(await muteFindings([target(ssh.port)], 20_000)).toMatchObject([{ level: "ok" }]);
    expect(await muteFindings([target(await claimPort())], 20_000)).toEqual([]);
  } finally {
    await ssh.close();
    rmSync(folder, { recursive: true });
  }
});
