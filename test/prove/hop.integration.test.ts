/** The hops of the fault cases do to connections what they say. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { portOf } from "../runtime/relay/harness.ts";
import { until } from "../sandbox/mac/fixture.ts";
import { Hop, reset } from "./faults/hop.ts";

let server: Server;
let hop: Hop;
const accepted: Socket[] = [];
beforeEach(async () => {
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  hop = await Hop.open(portOf(server));
});
afterEach(async () => {
  for (const socket of accepted.splice(0)) socket.destroy();
  await hop.close();
  server.close();
});

async function client(): Promise<Socket> {
  const socket = connect(hop.port, "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  return socket;
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [piece] = (await once(socket, "data")) as [Buffer];
  return piece.toString();
}

it("forwards, and resets what it cuts", async () => {
  const socket = await client();
  expect(await echo(socket, "a")).toBe("a");
  const error = once(socket, "error");
  hop.cut();
  expect(((await error)[0] as NodeJS.ErrnoException).code).toBe("ECONNRESET");
  expect(await echo(await client(), "b")).toBe("b");
});

it("refuses connections until it accepts again, on the same port", async () => {
  await hop.refuse();
  await expect(client()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  await hop.heal();
  expect(await echo(await client(), "c")).toBe("c");
});

it("delays each piece in order", async () => {
  const socket = await client();
  hop.delay(50);
  const from = performance.now();
  socket.write("1");
  socket.write("2");
  let text = "";
  for await (const piece of socket) {
    text += String(piece);
    if (text.length === 2) break;
  }
  expect(text).toBe("12");
  expect(performance.now() - from).toBeGreaterThan(90);
});

it("leaves a half open connection without a word, and forwards new ones", async () => {
  const socket = await client();
  expect(await echo(socket, "a")).toBe("a");
  hop.halfOpen();
  let heard = "";
  socket.on("data", (piece) => {
    heard += String(piece);
  });
  socket.write("lost");
  expect(await echo(await client(), "new")).toBe("new");
  expect([heard, socket.destroyed, accepted[0]?.destroyed]).toEqual(["", false, false]);
  socket.destroy();
});

it("closes a connection that is reset while its end is on its way", async () => {
  const socket = connect(portOf(server), "127.0.0.1");
  const failed: unknown[] = [];
  socket.on("error", (cause) => failed.push(cause));
  await once(socket, "connect");
  const closed = once(socket, "close");
  socket.end("last");
  reset(socket);
  await closed;
  await until(() => accepted[0]?.destroyed === true, "the other end's close");
  expect(failed).toEqual([]);
});
