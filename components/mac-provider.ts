/**
 * What the dynamic provider behind `MacInstallation` does. Runs in Pulumi's dynamic-provider process, in the program's folder.
 *
 * Which Mac it is, is told by its hardware UUID, never by name or address: a new name or address is an update in place,
 * another machine is a move. An installation id, on the Mac and in the state, is what a removal must have.
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { installInputSchema } from "../runtime/config.ts";
import { driftOf, type MacState } from "../runtime/installer/mac-state.ts";
import { hasUnknown, providerText } from "./dynamic-state.ts";
import { type MacAccess, type Reach, reachMac } from "./mac-access.ts";
import { describeConnection, dialTarget, isSameWay, type MacConnection, plainConnection } from "./mac-connection.ts";
import { moveText, planOf } from "./mac-plan.ts";
import {
  digestsOf,
  type FormerMac,
  type FormerRecord,
  type MacInputs,
  type MacRecord,
  readRecord,
} from "./mac-record.ts";

/** What a test may change about the surroundings. */
export interface Surroundings {
  readonly reach?: Reach;
  /** Shown by Pulumi among the diagnostics. */
  readonly say?: (text: string) => void;
  readonly environment?: NodeJS.ProcessEnv;
  /** Longest wait in a preview, in ms. */
  readonly lookMs?: number;
}

const surroundings = (given: Surroundings) => ({
  reach: reachMac,
  // Pulumi shows it among the diagnostics.
  say: (text: string) => console.log(text),
  environment: process.env,
  lookMs: 30_000,
  ...given,
});

/** `fail`: a Mac that cannot be read is an error (the nightly drift job), not a warning. */
const unreadVariable = "SLM_NETWORK_MAC_UNREAD";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "is not a sha256 (64 lower-case hex digits)");
const hostSchema = z.object({
  host: z.string().min(1, "is empty: the Mac's address or name"),
  port: z.number().int().min(1).max(65535),
  user: z.string().min(1, "is empty: the account on the Mac"),
  hostKey: z.string().min(1, "is empty: `ssh-keyscan -t ed25519 <host>` prints it"),
});
const archiveSchema = z.object({ path: z.string().min(1), sha256 });
const inputsSchema = z.object({
  connection: hostSchema.extend({ jump: hostSchema.optional() }),
  release: archiveSchema,
  node: z.object({ url: z.string().min(1), sha256 }),
  uploads: z.object({ node: archiveSchema, cloudflared: archiveSchema }).optional(),
  input: installInputSchema,
  removeData: z.boolean(),
  previousGone: z.boolean(),
});

/** @returns every fault of the inputs at once; what is not known yet is left out, and nothing of a secret is repeated */
export async function check(_olds: object, news: MacInputs) {
  const failures = Object.entries(inputsSchema.shape).flatMap(([property, schema]) => {
    const value: unknown = (news as unknown as Record<string, unknown>)[property];
    if (hasUnknown(value)) return [];
    const issues = schema.safeParse(value).error?.issues ?? [];
    return issues.map(({ path, message }) => ({ property: [property, ...path].join("."), reason: message }));
  });
  return { inputs: news, failures };
}

/**
 * Says in words what an `up` will do to the Mac. Never asks for a replacement. Contacts the Mac when that is possible, to see
 * whether another machine answers and what was changed by hand; otherwise the state alone decides and nothing fails.
 */
export async function diff(_id: string, olds: object, news: MacInputs, given: Surroundings = {}) {
  const { say, environment } = surroundings(given);
  const result = (steps: readonly string[]) => {
    for (const step of steps) say(`the Mac: ${step}`);
    return { changes: steps.length > 0, replaces: [], deleteBeforeReplace: false };
  };
  const before = readRecord(olds);
  const plan = planOf(before, news, olds);
  const seen = await look(news.connection, given);
  if (typeof seen === "string") {
    // Without a way to sign in (a pull request) that is nothing to report.
    if (hasKey(environment)) say(`the Mac was not looked at, so changes made there by hand do not show: ${seen}`);
    return result(plan.steps);
  }
  const { state } = seen;
  if (isOther(before, state)) return result([...plan.steps, ...(await describeMove(before, news, given))]);
  if (news.previousGone && !before.previous)
    say("macs[0].previous: gone is not needed (any more): remove it from the stack file");
  const known = new Set(before.drift);
  const drift = (before.expected ? driftOf(before.expected, state) : []).filter((difference) => !known.has(difference));
  return result([...plan.steps, ...drift.map((difference) => `repair what was changed by hand: ${difference}`)]);
}

const hasKey = (environment: NodeJS.ProcessEnv): boolean =>
  Boolean(environment.SSH_AUTH_SOCK) || Boolean(environment.SLM_NETWORK_SSH_KEY);

const isOther = ({ hardwareUuid }: FormerRecord, state: MacState): boolean =>
  hardwareUuid !== undefined && hardwareUuid !== state.hardwareUuid;

/** A short look at a Mac. @returns its state, or why it could not be had */
async function look(connection: MacConnection, given: Surroundings): Promise<{ state: MacState } | string> {
  const { reach, environment, lookMs } = surroundings(given);
  if (!hasKey(environment)) return "there is no SSH key";
  return withinMs(lookMs, async () => {
    const access = await reach(dialTarget(connection, environment));
    try {
      return { state: await access.inspect() };
    } finally {
      await access.close();
    }
  }).catch(firstLine);
}

/** A session that comes about too late is left to its own end. */
async function withinMs<T>(ms: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";

async function describeMove(before: FormerRecord, news: MacInputs, given: Surroundings): Promise<string[]> {
  const { reach, lookMs } = surroundings(given);
  const data = await withinMs(lookMs, async () => {
    const access = await reach(plainConnection(before.connection));
    try {
      return await access.data();
    } finally {
      await access.close();
    }
  }).catch(() => undefined);
  return moveText({ from: before.connection, to: news.connection, data, gone: news.previousGone });
}

/** Installs, and leaves a new installation id. What an earlier state or the version before installed is taken over. */
export async function create(inputs: MacInputs, given: Surroundings = {}) {
  const { reach, say, environment } = surroundings(given);
  const installation = randomUUID();
  const access = await reach(dialTarget(inputs.connection, environment));
  try {
    const { installation: former } = await access.inspect();
    if (former !== null) {
      say(
        `the Mac holds installation ${former}: taken over as ${installation}; a removal of the former does nothing now`,
      );
    }
    return { id: installation, outs: await installOn(access, inputs, installation, say) };
  } finally {
    await access.close();
  }
}

async function installOn(
  access: MacAccess,
  inputs: MacInputs,
  installation: string,
  say: (text: string) => void,
): Promise<MacRecord> {
  const { report } = await access.install(inputs, installation);
  const { expected, hardwareUuid, notes, ...rest } = report;
  for (const note of notes) say(`the Mac: ${note}`);
  return {
    connection: plainConnection(inputs.connection),
    removeData: inputs.removeData,
    release: inputs.release.sha256,
    node: inputs.node.sha256,
    installation,
    hardwareUuid: hardwareUuid ?? (await access.inspect()).hardwareUuid,
    digests: digestsOf(inputs.input),
    expected: expected ?? null,
    drift: [],
    report: JSON.stringify({ ...rest, hardwareUuid, notes }),
    previous: null,
  };
}

/**
 * Brings the Mac to what the inputs say. Another machine at the new address is installed and ready before the former one is
 * taken out of service; what can be known beforehand to fail changes nothing.
 * @throws Error; `PartialUpdate` when the new Mac serves and the former one could not be taken out of service
 */
export async function update(id: string, olds: object, news: MacInputs, given: Surroundings = {}) {
  const { reach, say, environment } = surroundings(given);
  const before = readRecord(olds);
  const access = await reach(dialTarget(news.connection, environment)).catch((error: unknown) => {
    if (before.isCommand || planOf(before, news, olds).needsMac) throw error;
    say(`the Mac was not contacted, only the state is brought up to date: ${firstLine(error)}`);
  });
  if (access === undefined) return { outs: { ...(olds as MacRecord), removeData: news.removeData } };
  try {
    const { isMove, former } = await formerMac(before, await access.inspect(), news, given);
    const installation = isMove ? randomUUID() : (before.installation ?? randomUUID());
    const outs = await installOn(access, news, installation, say);
    const leaving = former ?? before.previous;
    if (leaving) await takeOut(leaving, { id, outs, olds: news }, news, given);
    return { outs };
  } finally {
    await access.close();
  }
}

/**
 * Decides whether the machine that answers is another one than before, and whether that one can be reached.
 * @throws Error when it cannot and the config does not say that it is gone
 */
async function formerMac(
  before: FormerRecord,
  state: MacState,
  { connection, previousGone }: MacInputs,
  given: Surroundings,
): Promise<{ isMove: boolean; former?: FormerMac }> {
  const { reach, say } = surroundings(given);
  const { hardwareUuid } = before;
  if (hardwareUuid === state.hardwareUuid) return { isMove: false };
  // The version before did not record it: the same host key is the same machine.
  const isSameKey = plainConnection(before.connection).hostKey === plainConnection(connection).hostKey;
  if (hardwareUuid === undefined && (isSameKey || isSameWay(before.connection, connection))) return { isMove: false };
  const [was, is] = [before.connection, connection].map(describeConnection);
  let why: string;
  try {
    const access = await reach(plainConnection(before.connection));
    try {
      const found = (await access.inspect()).hardwareUuid;
      // It is the same machine after all: its address was passed on, or its hardware was exchanged.
      if (found === state.hardwareUuid) return { isMove: false };
      if (hardwareUuid === undefined || found === hardwareUuid) {
        return {
          isMove: true,
          former: { connection: before.connection, installation: before.installation, hardwareUuid },
        };
      }
      why = `a third Mac answers there, hardware ${found}`;
    } finally {
      await access.close();
    }
  } catch (error) {
    why = firstLine(error);
  }
  if (previousGone) {
    say(
      `the former Mac at ${was} is forgotten (macs[0].previous: gone; ${why}). Its connector still has the tunnel's token: if it may be in other hands, \`npm run rotate -- tunnel\``,
    );
    return { isMove: true };
  }
  throw new Error(
    `another Mac answers at ${is}, and the former one at ${was} cannot be reached to take it out of service (${why}). Nothing was changed. Switch the former one on and run \`pulumi up\` again; if it is gone for good, set \`previous: gone\` beside the new address in macs[0] of the stack file, and run \`pulumi up\` again`,
  );
}

/** The new Mac serves and is in the state; the former one is still to be taken out of service, which the next `up` tries again. */
export class PartialUpdate extends Error {
  override name = "PartialUpdate";
  readonly id: string;
  readonly properties: object;
  readonly reasons: readonly string[];
  constructor(message: string, id: string, properties: object) {
    super(message);
    this.id = id;
    this.properties = properties;
    this.reasons = [message];
  }
}

/** Removes the installation from the Mac that was moved away from; its data stays. */
async function takeOut(
  former: FormerMac,
  now: { id: string; outs: MacRecord; olds: object },
  { previousGone }: MacInputs,
  given: Surroundings,
): Promise<void> {
  const { reach, say } = surroundings(given);
  const where = describeConnection(former.connection);
  try {
    const access = await reach(plainConnection(former.connection));
    try {
      const said = await access.remove(former.installation, false);
      say(`the former Mac at ${where} is out of service; its data stays in /var/db/slm-network${spoken(said)}`);
    } finally {
      await access.close();
    }
  } catch (error) {
    if (previousGone) return say(`the former Mac at ${where} is forgotten (macs[0].previous: gone)`);
    throw new PartialUpdate(
      `the new Mac serves, but the former one at ${where} could not be taken out of service and may still serve beside it: ${firstLine(error)} Run \`pulumi up\` again when it answers; if it is gone for good, set \`previous: gone\` in macs[0] first`,
      now.id,
      { ...now.outs, previous: former, ...providerText(now.olds) },
    );
  }
}

/** Why an installer removed nothing; empty when it did. An installer of the version before says only that it did. */
function spoken(said: string): string {
  const answer = z.object({ removed: z.literal(false), reason: z.string() }).safeParse(parsed(said));
  return answer.success ? ` (${answer.data.reason})` : "";
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Compares the Mac with what the last installation left. A Mac that cannot be read keeps its stored state, with a warning:
 * a Mac that is switched off is not a deleted one.
 * @throws Error instead of the warning when SLM_NETWORK_MAC_UNREAD is `fail`
 */
export async function read(id: string, state: object, given: Surroundings = {}) {
  const { reach, say, environment } = surroundings(given);
  const record = readRecord(state);
  try {
    const access = await reach(dialTarget(record.connection, environment));
    try {
      const found = await access.inspect();
      const drift = record.expected ? driftOf(record.expected, found) : [];
      if (isOther(record, found)) {
        drift.unshift(`another Mac answers: hardware ${found.hardwareUuid} instead of ${record.hardwareUuid}`);
      }
      return { id, props: { ...state, drift } };
    } finally {
      await access.close();
    }
  } catch (error) {
    const what = `the Mac at ${describeConnection(record.connection)} could not be read, so what was changed there by hand is not known: ${firstLine(error)}`;
    if (environment[unreadVariable] === "fail") throw new Error(what, { cause: error });
    say(`warning: ${what}`);
    return { id, props: state };
  }
}

/**
 * Removes the installation with this state's id; one with another id is left alone by the installer, which says so.
 * @throws Error that says how to go on when the Mac cannot be reached
 */
export async function remove(state: object, given: Surroundings = {}): Promise<void> {
  const { reach, say, environment } = surroundings(given);
  const { connection, installation, removeData = false, previous } = readRecord(state);
  const where = describeConnection(connection);
  const access = await reach(dialTarget(connection, environment)).catch((error: unknown) => {
    throw new Error(
      `the Mac at ${where} cannot be reached, so nothing can be removed from it: ${firstLine(error)} Switch it on and run this again. If it is gone for good: set macs[].skipRemoval to true in the stack's config, run \`pulumi up\`, then \`pulumi destroy\`. What is on the Mac then stays there: wipe it before you give it away`,
      { cause: error },
    );
  });
  try {
    const said = spoken(await access.remove(installation, removeData));
    if (said !== "") say(`the Mac at ${where}:${said}`);
  } finally {
    await access.close();
  }
  if (previous)
    say(
      `the former Mac at ${describeConnection(previous.connection)} was never taken out of service: see to it by hand`,
    );
}
