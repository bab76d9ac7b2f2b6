/**
 * One sandbox at a time runs in a folder. It listens on loopback and writes its port and token beside its state. Other
 * processes find it by that file and can stop it or cut its Mac's power.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { z } from "zod";

const lockSchema = z.strictObject({ pid: z.int(), url: z.string(), token: z.string() });

/** The control endpoint of a running sandbox: `POST <url>/<action>` with the token as bearer. */
export type Control = z.infer<typeof lockSchema>;

/** The control actions. `fault` and `set` need a body; the actions on a Mac accept one (docs/sandbox.md). */
export const actions = [
  "stop",
  "power-cut",
  "power-returns",
  "boot",
  "rotate-keys",
  "fault",
  "clear-faults",
  "set",
  "hand-made",
  "second-mac",
  "company-server",
] as const;
export type Action = (typeof actions)[number];

/** Carries out an action. @throws BadRequest, or another error when it fails */
export type Handle = (action: Action, body: unknown) => Promise<void>;

/** An invalid action or body; the message says why. */
export class BadRequest extends Error {
  override name = "BadRequest";
}

/** A sandbox is already running in this folder. */
export class AlreadyRunning extends Error {
  override name = "AlreadyRunning";
  readonly control: Control;
  constructor(control: Control) {
    super(`a sandbox runs here already (process ${control.pid}): stop it with \`npm run sandbox -- --stop\``);
    this.control = control;
  }
}

/** @returns the sandbox that runs with this lock file, or undefined; a file left by a crash is ignored */
export async function findRunning(lockFile: string): Promise<Control | undefined> {
  const control = await readFile(lockFile, "utf8").then(
    (text) => lockSchema.parse(JSON.parse(text)),
    () => undefined,
  );
  if (!control) return undefined;
  return ask(control, undefined).then(
    () => control,
    () => undefined,
  );
}

/**
 * Sends an action to a running sandbox and waits for its completion (`stop`: for its start).
 * @throws Error when it does not answer or refuses
 */
export async function ask(control: Control, action: Action | undefined, body?: unknown): Promise<void> {
  const response = await fetch(`${control.url}/${action ?? ""}`, {
    method: action ? "POST" : "GET",
    headers: { authorization: `Bearer ${control.token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(action ? 60_000 : 5_000),
  });
  if (!response.ok) throw new Error(`the sandbox answered ${response.status}: ${await response.text()}`);
}

/**
 * Takes the lock and listens.
 * @throws AlreadyRunning
 */
export async function takeControl(
  lockFile: string,
  handle: Handle,
): Promise<{ control: Control; close(): Promise<void> }> {
  const other = await findRunning(lockFile);
  if (other) throw new AlreadyRunning(other);
  const token = randomBytes(24).toString("base64url");
  const server = await listen(token, handle);
  const control = {
    pid: process.pid,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
  };
  await mkdir(dirname(lockFile), { recursive: true, mode: 0o700 });
  const beside = `${lockFile}.${process.pid}`;
  await writeFile(beside, JSON.stringify(control), { mode: 0o600 });
  await rename(beside, lockFile);
  return {
    control,
    close: async () => {
      await rm(lockFile, { force: true });
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    },
  };
}

/** The JSON of a request, undefined without a body. @throws BadRequest */
async function read(request: IncomingMessage): Promise<unknown> {
  const sent = await text(request);
  if (sent === "") return undefined;
  try {
    return JSON.parse(sent);
  } catch {
    throw new BadRequest(`the body is not JSON: ${sent.slice(0, 200)}`);
  }
}

function listen(token: string, handle: Handle): Promise<Server> {
  const expected = Buffer.from(`Bearer ${token}`);
  const server = createServer((request, response) => {
    const given = Buffer.from(request.headers.authorization ?? "");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      response.writeHead(403).end("wrong token");
      return;
    }
    const action = actions.find((name) => request.url === `/${name}`);
    if (request.method === "GET" && request.url === "/") {
      response.end("running");
      return;
    }
    if (request.method !== "POST" || !action) {
      response.writeHead(404).end(`known actions: POST ${actions.map((name) => `/${name}`).join(", ")}`);
      return;
    }
    read(request)
      .then((body) => handle(action, body))
      .then(
        () => response.end("done"),
        (error: unknown) =>
          response
            .writeHead(error instanceof BadRequest ? 400 : 500)
            .end(error instanceof Error ? error.message : String(error)),
      );
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}
