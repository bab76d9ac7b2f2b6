/** A TCP forwarder between two hops of a request's path, whose connections can be cut, delayed or left half open. */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { claimPort, listenOn } from "../../../sandbox/machine/ports.ts";

/** Both ends of one forwarded connection. */
interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** Nothing more is passed on, in either direction, and neither end is closed. */
  isDead: boolean;
}

/**
 * Ends a connection with RST. One whose end (FIN) is on its way cannot be reset: `resetAndDestroy` fails with EINVAL then, never
 * closes the socket, and Node waits for it when the process ends. Such a one is closed.
 */
export function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

/** One hop. Its address stays the same while what is behind it changes. */
export class Hop {
  readonly port: number;
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #target: number;
  #delayMs = 0;
  #isOpen = true;

  private constructor(port: number, server: Server, target: number) {
    this.port = port;
    this.#server = server;
    this.#target = target;
    server.on("connection", (near) => this.#forward(near));
  }

  /** @param target port on 127.0.0.1 */
  static async open(target: number): Promise<Hop> {
    const server = createServer({ noDelay: true });
    const port = await listenOn(server, await claimPort(), "a hop of the proving suite");
    return new Hop(port, server, target);
  }

  /** Where new connections lead from now on. */
  set target(port: number) {
    this.#target = port;
  }

  /** Connections that are forwarded. */
  get connections(): number {
    return this.#pairs.size;
  }

  /** Resets every connection, as a router does that was restarted. New ones are forwarded. */
  cut(): void {
    for (const { near, far } of this.#pairs) {
      reset(near);
      reset(far);
    }
  }

  /** Resets every connection and refuses new ones until `accept`. */
  async refuse(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cut();
    await closed;
  }

  async accept(): Promise<void> {
    if (this.#isOpen) return;
    await listenOn(this.#server, this.port, "a hop of the proving suite");
    this.#isOpen = true;
  }

  /** Delays every piece by so much, in both directions; 0 ends it. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /**
   * Leaves the connections half open, as after the loss of a router's table: what either end sends is lost, and neither
   * learns of it. They never recover; new ones are forwarded.
   * @param resetAfterMs resets both ends then, as the system does whose probes (TCP keep-alive) were not answered: this process
   * answers them
   */
  halfOpen(resetAfterMs?: number): void {
    const dead = [...this.#pairs];
    for (const pair of dead) pair.isDead = true;
    if (resetAfterMs === undefined) return;
    setTimeout(() => {
      for (const { near, far } of dead) {
        reset(near);
        reset(far);
      }
    }, resetAfterMs).unref();
  }

  /** Back to forwarding. Connections that are half open stay so. */
  async heal(): Promise<void> {
    this.delay(0);
    await this.accept();
  }

  async close(): Promise<void> {
    await this.refuse();
  }

  #forward(near: Socket): void {
    const far = connect({ port: this.#target, host: "127.0.0.1", noDelay: true });
    const pair: Pair = { near, far, isDead: false };
    this.#pairs.add(pair);
    const gone = () => void (near.destroyed && far.destroyed && this.#pairs.delete(pair));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (piece) => this.#pass(pair, () => void to.write(piece), from, to));
      from.on("end", () => this.#pass(pair, () => to.end(), from, to));
      // An end that resets its half open connection is not heard by the other one either.
      from.on("error", () => void (pair.isDead ? from.destroy() : reset(to)));
      from.on("close", () => {
        if (!pair.isDead && !to.writableEnded) to.destroy();
        // The end that still waits has a connection to nobody: it is kept until this hop is closed or it gives up.
        gone();
      });
    }
  }

  /** Keeps the order: a piece is never passed on before one that came earlier. */
  #pass(pair: Pair, act: () => void, from: Socket, to: Socket): void {
    const run = () => {
      if (pair.isDead || to.destroyed) return;
      act();
      if (to.writableNeedDrain && !from.isPaused()) {
        from.pause();
        to.once("drain", () => from.resume());
      }
    };
    if (this.#delayMs === 0) run();
    else setTimeout(run, this.#delayMs);
  }
}
