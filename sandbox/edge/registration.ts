/**
 * The control stream of a connector: Cap'n Proto RPC (level 1, two parties), of which the edge is the server. Layouts
 * follow `rpc.capnp` of capnproto and `tunnelrpc/proto/tunnelrpc.capnp` of cloudflared.
 */
import type { Duplex } from "node:stream";
import { encode, MessageReader, type StructReader, type StructValue, struct, text, type Value } from "./capnp.ts";

/** A connector's description of itself and of the tunnel it serves. */
export interface Registration {
  accountTag: string;
  /** Raw bytes, as in the connector's token. */
  secret: Buffer;
  tunnelId: string;
  /** The connection's index, 0 to 3. */
  connectionIndex: number;
  /** UUID of the running cloudflared. */
  connectorId: string;
  /** e.g. `2026.7.1`. */
  version: string;
  /** e.g. `linux_amd64`. */
  arch: string;
  features: string[];
}

/** The edge's answer to a registration. */
export type RegistrationAnswer =
  | {
      accepted: true;
      /** UUID of this connection. */
      connectionId: string;
      /** e.g. `icn01`. */
      location: string;
    }
  | {
      accepted: false;
      /** Shown in the connector's log. If it contains "Unauthorized", cloudflared does not blame the address. */
      cause: string;
    };

/** The edge's handlers for a connector's calls. */
export interface RegistrationHandlers {
  register(registration: Registration): RegistrationAnswer;
  /** The connector unregisters: its requests in flight finish, new ones use other connections. */
  unregister(): void;
  /** The connector closed the control stream, as after unregistering; its requests in flight may continue. */
  ended(reason: string): void;
  /** An unreadable message: not a connector, or a broken one. */
  failed(reason: string): void;
}

/** Message tags of `rpc.capnp`. Finish (4), Release (6) and Unimplemented (0) need no answer from this server. */
const MESSAGE = { abort: 1, call: 2, return: 3, bootstrap: 8 };
const RETURN = { results: 0, exception: 1 };
const UNIMPLEMENTED = 3;
/** `RegistrationServer` of tunnelrpc.capnp. */
const REGISTRATION_SERVER = 0xf71695ec7fe85497n;
const METHOD = { register: 0, unregister: 1, updateLocalConfiguration: 2 };

const payload = (content: Value, capabilities: Value): StructValue => struct(0, undefined, content, capabilities);

function answer(questionId: number, kind: number, body: Value): Buffer {
  const back = struct(
    2,
    (data) => {
      data.writeUInt32LE(questionId, 0);
      data.writeUInt16LE(kind, 6);
    },
    body,
  );
  return encode(struct(1, (data) => data.writeUInt16LE(MESSAGE.return, 0), back));
}

const results = (questionId: number, content: Value): Buffer =>
  answer(questionId, RETURN.results, payload(content, null));

function unimplemented(questionId: number, what: string): Buffer {
  const exception = struct(1, (data) => data.writeUInt16LE(UNIMPLEMENTED, 4), text(`unimplemented ${what}`));
  return answer(questionId, RETURN.exception, exception);
}

/** Answers Bootstrap with capability 0, which stands for the registration server. */
function bootstrapped(questionId: number): Buffer {
  const senderHosted = struct(1, (data) => data.writeUInt16LE(1, 0), null);
  return answer(questionId, RETURN.results, payload({ capability: 0 }, { list: [senderHosted] }));
}

function uuid(bytes: Buffer): string {
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function readRegistration(params: StructReader): Registration {
  const auth = params.struct(0);
  const client = params.struct(2).struct(0);
  return {
    accountTag: auth.text(0),
    secret: auth.data(1),
    tunnelId: uuid(params.data(1)),
    connectionIndex: params.u8(0),
    connectorId: uuid(client.data(0)),
    features: client.texts(1),
    version: client.text(2),
    arch: client.text(3),
  };
}

/** `ConnectionResponse` of tunnelrpc.capnp, in the struct of results that holds it. */
function connectionResponse(outcome: RegistrationAnswer): StructValue {
  if (!outcome.accepted) {
    const error = struct(2, undefined, text(outcome.cause)); // retryAfter 0, shouldRetry false
    return struct(0, undefined, struct(1, undefined, error));
  }
  const id = Buffer.from(outcome.connectionId.replaceAll("-", ""), "hex");
  const remotelyManaged = (data: Buffer) => data.writeUInt8(1, 0);
  const details = struct(1, remotelyManaged, id, text(outcome.location));
  return struct(
    0,
    undefined,
    struct(1, (data) => data.writeUInt16LE(1, 0), details),
  );
}

function called(call: StructReader, handlers: RegistrationHandlers): Buffer {
  const question = call.u32(0);
  const method = call.u16(4);
  if (call.u64(8) !== REGISTRATION_SERVER) return unimplemented(question, "interface");
  if (method === METHOD.register) {
    const registration = readRegistration(call.struct(1).struct(0));
    return results(question, connectionResponse(handlers.register(registration)));
  }
  if (method === METHOD.unregister) {
    handlers.unregister();
    return results(question, struct(0, undefined));
  }
  if (method === METHOD.updateLocalConfiguration) return results(question, struct(0, undefined));
  return unimplemented(question, "method");
}

/**
 * Serves the calls of one connector on its control stream until the stream ends. The target of a call is ignored:
 * cloudflared calls the bootstrap capability before Bootstrap is answered, and there is no other.
 */
export function serveRegistration(stream: Duplex, handlers: RegistrationHandlers): void {
  const reader = new MessageReader();
  stream.on("data", (chunk: Buffer) => {
    try {
      for (const message of reader.push(chunk)) {
        const kind = message.u16(0);
        const body = message.struct(0);
        if (kind === MESSAGE.bootstrap) stream.write(bootstrapped(body.u32(0)));
        else if (kind === MESSAGE.call) stream.write(called(body, handlers));
        else if (kind === MESSAGE.abort) handlers.ended(body.text(0));
      }
    } catch (error) {
      handlers.failed(error instanceof Error ? error.message : String(error));
    }
  });
}
