/** The life of a sandbox: tools, emulators, engine, and a request that reaches the model. */
import { rm } from "node:fs/promises";
import { z } from "zod";
import { goDuration } from "./cloudflare/route.ts";
import { type Action, BadRequest, takeControl } from "./control.ts";
import { makeByHand } from "./hand-made.ts";
import { faultSchema } from "./http/faults.ts";
import { hostname, type Identity, type Instance, identity as identityOf } from "./instance.ts";
import type { Log } from "./log.ts";
import { requireOwnFolder } from "./machine/folder.ts";
import { startOnPorts } from "./machine/ports.ts";
import { startReaper } from "./machine/reaper.ts";
import { chooseProviders } from "./providers/choice.ts";
import { straysIn } from "./providers/environment.ts";
import { checkStackOrigin } from "./providers/stack-origin.ts";
import { withProviderAdvice } from "./providers/trouble.ts";
import { type Ready, stackOutputs, whatToDo, whatToTry, writeReady } from "./ready.ts";
import { type Services, startServices } from "./services.ts";
import { readSettings } from "./settings.ts";
import { Engine, engineEnvironment, engineFolders } from "./stack.ts";
import { ensureTools } from "./tools/tools.ts";

/** The work with a running sandbox. */
interface Running {
  identity: Identity;
  services: Services;
  engine: Engine;
  /** Creates the network and describes it. */
  bringUp(): Promise<Ready>;
  /** Creates nothing, and describes the accounts and the Mac. */
  leaveEmpty(): Promise<Ready>;
}

/** The body of `set`: conditions of the accounts. Omitted ones are not changed. */
const orderedConditions = z.strictObject({
  cloudflare: z
    .strictObject({
      zeroTrust: z.boolean(),
      sessionDuration: goDuration,
      zoneStatus: z.enum(["initializing", "pending", "active", "moved"]),
      zonePaused: z.boolean(),
      fightMode: z.boolean(),
      saas: z.boolean(),
      customHostnameCap: z.int().min(0),
      /** Permissions of `up`'s token: "all", or names, e.g. `DNS Write`. */
      permissions: z.union([z.literal("all"), z.array(z.string())]),
    })
    .partial()
    .optional(),
  edge: z.strictObject({ latencyMs: z.int().min(0).max(10_000) }).optional(),
  atlas: z.strictObject({ clusterPaused: z.boolean(), keyAddressAllowed: z.boolean() }).partial().optional(),
});

function setConditions({ accounts, edge }: Services, body: unknown): void {
  const ordered = orderedConditions.safeParse(body);
  if (!ordered.success) throw new BadRequest(`no such conditions:\n${z.prettifyError(ordered.error)}`);
  const { permissions, ...cloudflare } = ordered.data.cloudflare ?? {};
  Object.assign(accounts.cloudflare.conditions, cloudflare);
  if (permissions) accounts.token.permissions = permissions;
  Object.assign(accounts.atlas, ordered.data.atlas);
  if (ordered.data.edge) edge.setLatency(ordered.data.edge.latencyMs);
}

const orderedFault = faultSchema.extend({ api: z.enum(["cloudflare", "atlas"]) });

const orderedMac = z.strictObject({ mac: z.enum(["first", "second"]).default("first") }).prefault({});

/** `run`: a script for its administrator, as `npm run direct` prints them. */
const orderedServer = z.strictObject({ run: z.string().optional() }).prefault({});

/** @returns the Mac named by the body, `{ "mac": "second" }`; the first without a body */
async function macOf(services: Services, body: unknown) {
  const ordered = orderedMac.safeParse(body);
  if (!ordered.success) throw new BadRequest(`no such Mac:\n${z.prettifyError(ordered.error)}`);
  return ordered.data.mac === "second" ? services.secondMac() : services.mac;
}

async function act(
  services: Services,
  action: Exclude<Action, "stop">,
  body: unknown,
  byHand: () => Promise<void>,
): Promise<void> {
  switch (action) {
    case "power-cut":
      return (await macOf(services, body)).powerCut();
    case "power-returns":
      return (await macOf(services, body)).powerReturns();
    case "boot":
      return (await macOf(services, body)).boot();
    case "second-mac":
      await services.secondMac();
      return;
    case "company-server": {
      const ordered = orderedServer.safeParse(body);
      if (!ordered.success) throw new BadRequest(`nothing for the server:\n${z.prettifyError(ordered.error)}`);
      const server = await services.companyServer();
      const { run } = ordered.data;
      if (run !== undefined) await server.run(run.replace(/^sudo /, ""));
      return;
    }
    case "rotate-keys":
      return services.edge.rotateKeys();
    case "clear-faults":
      for (const faults of Object.values(services.faults)) faults.clear();
      return;
    case "set":
      return setConditions(services, body);
    case "hand-made":
      return byHand();
    case "fault": {
      const ordered = orderedFault.safeParse(body);
      if (!ordered.success) throw new BadRequest(`no such fault:\n${z.prettifyError(ordered.error)}`);
      const { api, ...fault } = ordered.data;
      services.faults[api].add({ ...fault, path: fault.path.source });
    }
  }
}

/**
 * Starts everything, runs `work`, stops everything. Resolves when no process is left.
 * @param work gets `stopped`, which resolves on the control action `stop`
 * @throws AlreadyRunning, FolderRefused, MissingTool, EngineError, SettingsError
 */
async function within(
  instance: Instance,
  log: Log,
  work: (running: Running, stopped: Promise<void>) => Promise<void>,
): Promise<void> {
  const stop = Promise.withResolvers<void>();
  let services: Services | undefined;
  let made: Identity | undefined;
  const handle = async (action: Action, body: unknown): Promise<void> => {
    if (action === "stop") return stop.resolve();
    if (!services || !made) throw new Error("the sandbox is still starting");
    const [running, known] = [services, made];
    await act(running, action, body, () => makeByHand(running, known, instance.stack));
  };
  await requireOwnFolder(instance);
  const settings = readSettings(process.env);
  const control = await takeControl(instance.lockFile, handle);
  const reaper = startReaper();
  try {
    await rm(instance.readyFile, { force: true });
    const tools = await ensureTools(log);
    const [identity, started] = await startOnPorts(
      () => identityOf(instance),
      (known) => startServices(instance, known, tools, settings, reaper, log),
    );
    made = identity;
    services = started;
    const environment = engineEnvironment(instance, identity, tools, services);
    const strays = straysIn(process.env).filter((name) => environment[name] === undefined);
    if (strays.length > 0) {
      log(
        `not taken from this shell, since they are for real accounts, another Mac, or other engine runs: ${strays.join(", ")}`,
      );
    }
    const { home } = engineFolders(instance);
    const providers = await chooseProviders({ pulumi: tools.pulumi, home, environment, log });
    const engine = new Engine(instance, tools.pulumi, environment);
    await engine.initialise();
    await checkStackOrigin(instance.folder, providers, await engine.hasResources());
    await engine.configure(identity, services);
    const parts = { identity, services, tools, control: control.control, environment };
    const bringUp = async (): Promise<Ready> => {
      log(`pulumi up: declaring ${hostname} …`);
      await engine.run(["up", "--yes", "--skip-preview"]).catch((error: unknown) => {
        throw providers === "official" ? withProviderAdvice(error) : error;
      });
      const { tunnelId, serviceTokens } = await stackOutputs(engine);
      await parts.services.edge.routed(tunnelId);
      return writeReady(instance, { ...parts, serviceTokens });
    };
    const leaveEmpty = () => writeReady(instance, { ...parts, serviceTokens: {} });
    await work({ identity, services, engine, bringUp, leaveEmpty }, stop.promise);
  } finally {
    await rm(instance.readyFile, { force: true });
    await services?.close();
    await reaper.close();
    await control.close();
  }
}

/**
 * Runs the sandbox until `interrupted` resolves or the control action `stop`.
 * @param options.curlOptions options for the printed curl lines in this shell, with a trailing blank, or ""
 * @param options.up false: declares nothing, leaving the accounts and Mac of a new user
 */
export async function run(
  instance: Instance,
  log: Log,
  interrupted: Promise<void>,
  options: { stopHint: string; curlOptions: string; up: boolean },
): Promise<void> {
  const started = performance.now();
  await within(instance, log, async ({ bringUp, leaveEmpty }, stopped) => {
    const ready = await (options.up ? bringUp() : leaveEmpty());
    log(`took ${((performance.now() - started) / 1000).toFixed(1)} s`);
    console.log(options.up ? whatToTry(ready, options) : whatToDo(options.stopHint));
    await Promise.race([stopped, interrupted]);
    log("stopping …");
  });
  log("stopped: nothing of it runs any more");
}

/** Destroys the stack through the engine and removes all of the sandbox's state. */
export async function reset(instance: Instance, log: Log): Promise<void> {
  await within(instance, log, async ({ engine }) => {
    // What was deleted by hand would stop it otherwise: the plugins take a 404 on DELETE for an error.
    await engine.run(["destroy", "--refresh", "--yes", "--skip-preview"]);
    await engine.run(["stack", "rm", instance.stack, "--yes"], { quiet: true });
  });
  await rm(instance.folder, { recursive: true, force: true });
  await rm(instance.stackFile, { force: true });
  log("the stack is destroyed and the sandbox's state cleared");
}
