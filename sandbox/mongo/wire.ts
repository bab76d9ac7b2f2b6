/**
 * MongoDB's wire protocol: OP_MSG, and OP_QUERY for the first hello of older clients.
 * Source: MongoDB manual, "MongoDB Wire Protocol"; specifications/source/message/OP_MSG.md.
 */
import { calculateObjectSize, type Document, deserialize, Long, serialize, setInternalBufferSize } from "bson";
import { BSON_OPTIONS } from "./values.ts";

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const HEADER = 16;
/** Longest message in bytes, as announced in hello. */
export const MAX_MESSAGE_BYTES = 48_000_000;
const CHECKSUM_PRESENT = 1;
const MORE_TO_COME = 2;

/** A received command. */
export interface Request {
  requestId: number;
  /** With `$db` in it. */
  command: Document;
  /** True for OP_QUERY: only hello is accepted, and answered by OP_REPLY. */
  legacy: boolean;
  /** False when the client expects no response (unacknowledged writes). */
  wantsReply: boolean;
}

/** A protocol violation: the connection is closed, as mongod does. */
export class ProtocolError extends Error {}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function readDocument(message: Buffer, at: number, end: number): { document: Document; next: number } {
  const size = at + 4 <= end ? message.readInt32LE(at) : 0;
  if (size < 5 || at + size > end)
    throw new ProtocolError(`a document of ${size} bytes at byte ${at} does not fit its message`);
  return { document: deserialize(message.subarray(at, at + size), BSON_OPTIONS), next: at + size };
}

function parseMessage(message: Buffer): { command: Document; wantsReply: boolean } {
  if (message.length < HEADER + 5) throw new ProtocolError("an OP_MSG without a section");
  const flags = message.readUInt32LE(HEADER);
  if ((flags & 0xffff & ~(CHECKSUM_PRESENT | MORE_TO_COME)) !== 0) {
    throw new ProtocolError(`an OP_MSG with unknown required flags 0x${flags.toString(16)}`);
  }
  let end = message.length;
  if (flags & CHECKSUM_PRESENT) {
    end -= 4;
    if (crc32c(message.subarray(0, end)) !== message.readUInt32LE(end))
      throw new ProtocolError("an OP_MSG whose checksum is wrong");
  }
  let command: Document | undefined;
  const sequences: [string, Document[]][] = [];
  for (let at = HEADER + 4; at < end; ) {
    const kind = message[at++];
    if (kind === 0) {
      if (command !== undefined) throw new ProtocolError("an OP_MSG with two bodies");
      const body = readDocument(message, at, end);
      command = body.document;
      at = body.next;
    } else if (kind === 1) {
      const sectionEnd = at + (at + 4 <= end ? message.readInt32LE(at) : 0);
      const nameEnd = message.indexOf(0, at + 4);
      if (sectionEnd > end || nameEnd < 0 || nameEnd >= sectionEnd)
        throw new ProtocolError("an OP_MSG with a broken document sequence");
      const documents: Document[] = [];
      const name = message.toString("utf8", at + 4, nameEnd);
      for (at = nameEnd + 1; at < sectionEnd; ) {
        const { document, next } = readDocument(message, at, sectionEnd);
        documents.push(document);
        at = next;
      }
      sequences.push([name, documents]);
    } else throw new ProtocolError(`an OP_MSG with a section of unknown kind ${kind}`);
  }
  if (command === undefined) throw new ProtocolError("an OP_MSG without a body");
  for (const [name, documents] of sequences) {
    if (Object.hasOwn(command, name)) throw new ProtocolError(`an OP_MSG that gives '${name}' twice`);
    command[name] = documents;
  }
  return { command, wantsReply: (flags & MORE_TO_COME) === 0 };
}

function parseQuery(message: Buffer): Document {
  const nameEnd = message.indexOf(0, HEADER + 4);
  if (nameEnd < 0) throw new ProtocolError("an OP_QUERY without a collection");
  const name = message.toString("utf8", HEADER + 4, nameEnd);
  if (!name.endsWith(".$cmd")) throw new ProtocolError(`an OP_QUERY on ${name}, which MongoDB no longer takes`);
  const { document } = readDocument(message, nameEnd + 9, message.length);
  return { ...document, $db: name.slice(0, -".$cmd".length) };
}

function parse(message: Buffer): Request {
  const requestId = message.readInt32LE(4);
  const opCode = message.readInt32LE(12);
  if (opCode === OP_MSG) return { requestId, legacy: false, ...parseMessage(message) };
  if (opCode === OP_QUERY) return { requestId, legacy: true, wantsReply: true, command: parseQuery(message) };
  throw new ProtocolError(`a message with opcode ${opCode}, which this server does not take`);
}

/**
 * Splits a byte stream into requests, with back-pressure on the client.
 * @throws ProtocolError on an invalid MongoDB message.
 */
export async function* readRequests(stream: AsyncIterable<Buffer>): AsyncGenerator<Request> {
  let chunks: Buffer[] = [];
  let buffered = 0;
  let wanted = HEADER;
  for await (const chunk of stream) {
    chunks.push(chunk);
    buffered += chunk.length;
    while (buffered >= wanted) {
      const bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, buffered);
      chunks = [bytes];
      const length = bytes.readInt32LE(0);
      if (length < HEADER || length > MAX_MESSAGE_BYTES) throw new ProtocolError(`a message of ${length} bytes`);
      wanted = length;
      if (buffered < length) break;
      // A copy: values keep views of it, and the socket's buffer may hold much more.
      const message = Buffer.from(bytes.subarray(0, length));
      buffered -= length;
      chunks = buffered > 0 ? [bytes.subarray(length)] : [];
      wanted = HEADER;
      yield parse(message);
    }
  }
}

/** Bytes of a document as BSON. */
export function encodeDocument(document: Document): Uint8Array {
  // `serialize` works in a shared buffer of 17 MB, which a batch of large documents does not fit.
  setInternalBufferSize(calculateObjectSize(document) + 1024);
  return serialize(document);
}

let lastRequestId = 0;

/** The answer to a request, ready to be written. */
export function encodeReply(request: Request, reply: Document): Buffer {
  const body = encodeDocument(reply);
  const fixed = Buffer.alloc(request.legacy ? HEADER + 20 : HEADER + 5);
  lastRequestId = (lastRequestId + 1) & 0x7fffffff;
  fixed.writeInt32LE(fixed.length + body.length, 0);
  fixed.writeInt32LE(lastRequestId, 4);
  fixed.writeInt32LE(request.requestId, 8);
  fixed.writeInt32LE(request.legacy ? OP_REPLY : OP_MSG, 12);
  if (request.legacy) {
    fixed.writeInt32LE(8, HEADER); // AwaitCapable, as every mongod sets it
    fixed.writeBigInt64LE(Long.ZERO.toBigInt(), HEADER + 4);
    fixed.writeInt32LE(1, HEADER + 16);
  }
  return Buffer.concat([fixed, body]);
}
