/** The part of systemd that a company's server needs: it keeps the programs of the unit files in a folder running. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Reaper } from "../machine/reaper.ts";

/** Services of one server. */
export class Services {
  readonly #folder: string;
  readonly #path: string;
  readonly #reaper: Reaper;
  readonly #running = new Map<string, ChildProcess>();

  /** @param path PATH of the services */
  constructor(folder: string, path: string, reaper: Reaper) {
    this.#folder = folder;
    this.#path = path;
    this.#reaper = reaper;
  }

  /** Starts what has a unit file, anew if it is running, and ends what has none any more. */
  async reload(): Promise<void> {
    const names = existsSync(this.#folder) ? readdirSync(this.#folder).filter((name) => name.endsWith(".service")) : [];
    for (const name of this.#running.keys()) if (!names.includes(name)) await this.#end(name);
    for (const name of names) {
      await this.#end(name);
      await this.#start(name, readFileSync(join(this.#folder, name), "utf8"));
    }
  }

  /** Ends all of them. */
  async stop(): Promise<void> {
    for (const name of this.#running.keys()) await this.#end(name);
  }

  async #start(name: string, text: string): Promise<void> {
    const [program, ...args] = /^ExecStart=(.+)$/m.exec(text)?.[1]?.split(" ") ?? [];
    if (program === undefined) throw new Error(`${join(this.#folder, name)} has no ExecStart`);
    const child = spawn(program, args, { stdio: "ignore", detached: true, env: { PATH: this.#path } });
    await once(child, "spawn");
    if (child.pid !== undefined) this.#reaper.watch(child.pid);
    this.#running.set(name, child);
  }

  async #end(name: string): Promise<void> {
    const child = this.#running.get(name);
    this.#running.delete(name);
    if (child?.pid === undefined) return;
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      process.kill(-child.pid, "SIGTERM"); // with what it waits for
      await ended;
    }
    this.#reaper.forget(child.pid);
  }
}
