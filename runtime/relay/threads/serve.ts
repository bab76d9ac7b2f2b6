/** The worker thread's side: runs commands in the order they were sent. */
import { type MessagePort, parentPort, receiveMessageOnPort } from "node:worker_threads";
import type { Batch, Command, CommandResult, FromThread, ThreadError, ToThread } from "./protocol.ts";

/** A service in a worker thread. */
export interface ThreadService {
  /** Sent to the main thread once the service is open. */
  readonly info?: unknown;
  /** Runs a group of commands. Never rejects: each failure is a result. */
  run(commands: readonly Command[]): Batch | Promise<Batch>;
  /** Bounds of a group. @default one command */
  readonly group?: { readonly commands: number; readonly bytes: number; bytesIn(args: readonly unknown[]): number };
  close?(): void | Promise<void>;
}

/** Serves in a worker thread; does nothing in the main thread. Commands sent during `open` wait. */
export async function serveThread(open: () => ThreadService | Promise<ThreadService>): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const send = (message: FromThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  try {
    const service = await open();
    listen(port, service, send);
    send({ kind: "open", info: service.info });
  } catch (cause) {
    send({ kind: "refused", reason: errorOf(cause).message });
  }
}

function listen(
  port: MessagePort,
  service: ThreadService,
  send: (message: FromThread, transfer?: ArrayBuffer[]) => void,
): void {
  let last: Promise<void> = Promise.resolve();
  port.on("message", (first: ToThread) => {
    const { commands, close } = takeGroup(port, first, service.group);
    last = last.then(async () => {
      if (commands.length > 0) {
        const batch = await service.run(commands);
        send({ kind: "results", ...batch }, batch.results.flatMap(buffersOf));
      }
      if (!close) return;
      await service.close?.();
      send({ kind: "closed" });
      port.close();
    });
  });
}

/** The message and those queued behind it, up to the group's bounds. */
function takeGroup(
  port: MessagePort,
  first: ToThread,
  { commands: most, bytes: mostBytes, bytesIn }: NonNullable<ThreadService["group"]> = {
    commands: 1,
    bytes: 0,
    bytesIn: () => 0,
  },
): { commands: Command[]; close: boolean } {
  const commands: Command[] = [];
  let bytes = 0;
  let message: ToThread | undefined = first;
  while (message !== undefined && message !== "close") {
    commands.push(message);
    bytes += bytesIn(message.args);
    if (commands.length >= most || bytes >= mostBytes) return { commands, close: false };
    message = (receiveMessageOnPort(port) as { message: ToThread } | undefined)?.message;
  }
  return { commands, close: message === "close" };
}

/** A `run` that calls the methods of an object one by one. */
export function runEach(methods: object): (commands: readonly Command[]) => Promise<Batch> {
  const run = async ({ id, method, args }: Command): Promise<CommandResult> => {
    try {
      // Both sides have the same types; only data passes between them.
      const call = Reflect.get(methods, method) as (...args: readonly unknown[]) => unknown;
      return { id, value: await call.apply(methods, args as unknown[]) };
    } catch (cause) {
      return { id, error: errorOf(cause) };
    }
  };
  return async (commands) => ({ results: await Promise.all(commands.map(run)) });
}

/** An error in transferable form. */
export function errorOf(cause: unknown): ThreadError {
  if (!(cause instanceof Error)) return { message: String(cause) };
  const { full, code } = cause as { full?: unknown; code?: unknown };
  return {
    message: cause.message,
    ...(typeof full === "boolean" && { full }),
    ...(typeof code === "string" && { code }),
  };
}

/** Buffers in a result that can be transferred: those owned by one typed array. */
function buffersOf(result: CommandResult): ArrayBuffer[] {
  return "value" in result ? [...wholeBuffers(result.value, 2)] : [];
}

function* wholeBuffers(value: unknown, depth: number): Generator<ArrayBuffer> {
  if (typeof value !== "object" || value === null) return;
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteLength } = value;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0) yield buffer;
  } else if (depth > 0 && Object.getPrototypeOf(value) === Object.prototype) {
    for (const one of Object.values(value)) yield* wholeBuffers(one, depth - 1);
  }
}
