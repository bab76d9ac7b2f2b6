import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { Binary, type Document, deserialize, serialize } from "bson";
import { expect, it } from "vitest";
import { crc32c } from "../../../sandbox/mongo/wire.ts";
import { atEnd, READ_WRITE, startServer } from "./harness.ts";

async function connect(port: number): Promise<Socket> {
  const socket = createConnection(port, "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  atEnd(async () => socket.destroy());
  return socket;
}

function message(opCode: number, id: number, ...parts: (Uint8Array | Buffer)[]): Buffer {
  const body = Buffer.concat(parts);
  const header = Buffer.alloc(16);
  header.writeInt32LE(16 + body.length, 0);
  header.writeInt32LE(id, 4);
  header.writeInt32LE(opCode, 12);
  return Buffer.concat([header, body]);
}

function opMsg(command: Document, flags = 0, id = 1): Buffer {
  const flagBits = Buffer.alloc(4);
  flagBits.writeUInt32LE(flags);
  return message(2013, id, flagBits, Buffer.from([0]), serialize(command));
}

/** The next whole message: its opcode, the id it answers and its document. */
async function receive(socket: Socket): Promise<{ opCode: number; responseTo: number; document: Document }> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < 16 || bytes.length < bytes.readInt32LE(0)) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  const opCode = bytes.readInt32LE(12);
  return { opCode, responseTo: bytes.readInt32LE(8), document: deserialize(bytes.subarray(opCode === 1 ? 36 : 21)) };
}

it("computes the checksum of RFC 3720", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283);
});

it("answers the old hello by OP_REPLY and nothing else of OP_QUERY", async () => {
  const socket = await connect((await startServer()).port);
  const query = (command: Document): Buffer =>
    message(2004, 7, Buffer.alloc(4), Buffer.from("admin.$cmd\0"), Buffer.alloc(8), serialize(command));
  socket.write(query({ isMaster: 1, helloOk: true }));
  const { opCode, responseTo, document } = await receive(socket);
  expect([opCode, responseTo]).toEqual([1, 7]);
  expect(document).toMatchObject({ ismaster: true, helloOk: true, maxWireVersion: 25, ok: 1 });
  socket.write(query({ find: "x" }));
  expect((await receive(socket)).document).toMatchObject({ code: 352, codeName: "UnsupportedOpQueryCommand" });
});

it("takes a right checksum, also in pieces, and closes on a wrong one", async () => {
  const socket = await connect((await startServer()).port);
  const withRoom = (): Buffer => {
    const bytes = Buffer.concat([opMsg({ ping: 1, $db: "admin" }, 1), Buffer.alloc(4)]);
    bytes.writeInt32LE(bytes.length, 0);
    return bytes;
  };
  const right = withRoom();
  right.writeUInt32LE(crc32c(right.subarray(0, -4)), right.length - 4);
  socket.setNoDelay(true);
  for (const byte of right) socket.write(Buffer.from([byte]));
  expect((await receive(socket)).document).toEqual({ ok: 1 });
  socket.write(withRoom());
  await once(socket, "close");
});

it("sends no answer to a message that wants none", async () => {
  const socket = await connect((await startServer()).port);
  socket.write(opMsg({ ping: 1, $db: "admin" }, 2, 1));
  socket.write(opMsg({ ping: 1, $db: "admin" }, 0, 2));
  expect((await receive(socket)).responseTo).toBe(2);
});

it("closes on required flags it does not know", async () => {
  const socket = await connect((await startServer()).port);
  socket.write(opMsg({ ping: 1, $db: "admin" }, 4));
  await once(socket, "close");
});

it("signs in a client of plain RFC 5802, with the closing empty exchange, and proves that it knows the keys too", async () => {
  const server = await startServer();
  await server.admin.putUser({ username: "relay", password: "pencil", roles: [READ_WRITE] });
  const socket = await connect(server.port);
  const ask = async (command: Document): Promise<Document> => {
    socket.write(opMsg({ ...command, $db: "admin" }));
    return (await receive(socket)).document;
  };
  const bare = "n=relay,r=clientnonce";
  const first = await ask({ saslStart: 1, mechanism: "SCRAM-SHA-256", payload: new Binary(Buffer.from(`n,,${bare}`)) });
  const serverFirst = Buffer.from((first.payload as Binary).buffer).toString();
  const [, nonce = "", salt = "", iterations = ""] = /^r=(clientnonce.{16,}),s=(.+),i=(\d+)$/.exec(serverFirst) ?? [];
  const hmac = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest();
  const salted = pbkdf2Sync("pencil", Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
  const authMessage = `${bare},${serverFirst},c=biws,r=${nonce}`;
  const clientKey = hmac(salted, "Client Key");
  const signature = hmac(createHash("sha256").update(clientKey).digest(), authMessage);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ signature[i]!)).toString("base64");
  const final = await ask({
    saslContinue: 1,
    conversationId: 1,
    payload: new Binary(Buffer.from(`c=biws,r=${nonce},p=${proof}`)),
  });
  expect(final).toMatchObject({ done: false, ok: 1 });
  const expected = hmac(hmac(salted, "Server Key"), authMessage).toString("base64");
  expect(Buffer.from((final.payload as Binary).buffer).toString()).toBe(`v=${expected}`);
  expect(await ask({ saslContinue: 1, conversationId: 1, payload: new Binary() })).toMatchObject({ done: true, ok: 1 });
  expect(await ask({ connectionStatus: 1 })).toMatchObject({ authInfo: { authenticatedUsers: [{ user: "relay" }] } });
});
