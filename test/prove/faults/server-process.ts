/** The model server and MongoDB of the suite: processes beside the Mac's daemons, each behind its hop. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { ServerProcess } from "./fault.ts";
import type { Hop } from "./hop.ts";

/** A process that says its port in its first message. It is started again on another port, behind the same hop. */
export class ForkedServer implements ServerProcess {
  readonly #script: string;
  readonly #args: readonly string[];
  readonly #hop: Hop;
  #child: ChildProcess | undefined;

  /** @param script beside this file */
  constructor(hop: Hop, script: string, args: readonly string[] = []) {
    this.#hop = hop;
    this.#script = script;
    this.#args = args;
  }

  /** Port of the running process, without the hop. */
  port = 0;

  async start(): Promise<void> {
    const child = fork(join(import.meta.dirname, this.#script), this.#args, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child = child;
    const [{ port }] = (await once(child, "message")) as [{ port: number }];
    this.port = port;
    this.#hop.target = port;
    await this.#hop.accept();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Its port refuses connections from then on, as that of a server that does not run. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, "exit");
      child.kill(signal);
      await exit;
    }
    await this.#hop.refuse();
  }

  /** Sends a message and waits for the answer. */
  async tell(message: string): Promise<void> {
    const answered = once(this.#child!, "message");
    this.#child!.send(message);
    await answered;
  }
}
