/**
 * The dynamic provider behind `MacInstallation`. Runs in Pulumi's dynamic-provider process, in the program's folder.
 *
 * A Mac is identified by its hardware UUID, never by name or address: a new name or address is an update in place,
 * another machine is a move. An installation id, on the Mac and in the state, is what a removal must have.
 */
import { randomUUID } from "node:crypto";
import { flushCompileCache } from "node:module";
import { z } from "zod";
import { installInputSchema } from "../../runtime/install-input-schema.ts";
import { driftOf } from "../../runtime/installer/mac-state.ts";
import { hasUnknown } from "../dynamic-state.ts";
import { describeConnection, dialTarget, plainConnection } from "./connection.ts";
import { addedWithinOverlap, type StoredCredentials, withOverlaps } from "./direct-credentials.ts";
import {
  contextWithDefaults,
  firstSentence,
  hasKey,
  inspectMac,
  isOtherMachine,
  type ProviderContext,
  withMac,
} from "./inspect.ts";
import type { MacSession } from "./mac-session.ts";
import { decommission, decommissionAll, describeMove, formerMac, removalRefusal } from "./move.ts";
import { firstText, planOf, repairText } from "./plan.ts";
import { digestsOf, type MacInputs, type MacRecord, readRecord } from "./record.ts";

// All modules of this process are loaded by now, and the engine kills it: at its end nothing would be written.
flushCompileCache();

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
  skipRemoval: z.boolean().optional(),
  directOverlaps: z.record(z.string(), z.iso.datetime({ offset: true })).optional(),
});

/**
 * Also says what a first installation will do to the Mac, since the engine asks for no `diff` then.
 * @param olds the previous inputs; empty when the resource is new
 * @returns all problems of the inputs; unknown values are skipped, and secrets are not repeated
 */
export async function check(olds: object, news: MacInputs, given: ProviderContext = {}) {
  const failures = Object.entries(inputsSchema.shape).flatMap(([property, schema]) => {
    const value: unknown = (news as unknown as Record<string, unknown>)[property];
    if (hasUnknown(value)) return [];
    const issues = schema.safeParse(value).error?.issues ?? [];
    return issues.map(({ path, message }) => ({ property: [property, ...path].join("."), reason: message }));
  });
  const isNew = Object.keys(olds).length === 0;
  if (isNew && failures.length === 0 && !hasUnknown(news.connection)) await describeFirst(news, given);
  return { inputs: news, failures };
}

async function describeFirst(news: MacInputs, given: ProviderContext): Promise<void> {
  const { log, environment } = contextWithDefaults(given);
  const seen = await inspectMac(news.connection, given);
  if (typeof seen !== "string") log(`the Mac: ${firstText(news, seen.state)}`);
  else if (hasKey(environment)) log(`the Mac was not looked at, so what it has installed is not known: ${seen}`);
}

/**
 * Says in words what an `up` will do to the Mac. Never asks for a replacement. Contacts the Mac when that is possible, to see
 * whether another machine answers and what was changed by hand; otherwise the state alone decides and nothing fails.
 */
export async function diff(_id: string, olds: object, news: MacInputs, given: ProviderContext = {}) {
  const { log, environment } = contextWithDefaults(given);
  const result = (steps: readonly string[]) => {
    for (const step of steps) log(`the Mac: ${step}`);
    return { changes: steps.length > 0, replaces: [], deleteBeforeReplace: false };
  };
  const before = readRecord(olds);
  const plan = planOf(before, news, olds);
  const seen = await inspectMac(news.connection, given);
  if (typeof seen === "string") {
    // Without a way to sign in (a pull request) that is nothing to report.
    if (hasKey(environment)) log(`the Mac was not looked at, so changes made there by hand do not show: ${seen}`);
    return result(plan.steps);
  }
  const { state } = seen;
  // Whatever else changed is part of the new Mac's installation.
  if (isOtherMachine(before, state)) return result(await describeMove(before, state, news, given));
  if (news.previousGone && before.previous.length === 0)
    log("macs[0].previous: gone is not needed (any more): remove it from the stack file");
  const known = new Set(before.drift);
  const drift = (before.expected ? driftOf(before.expected, state) : []).filter((difference) => !known.has(difference));
  return result([...plan.steps, ...drift.map(repairText)]);
}

/** Installs, and leaves a new installation id. What an earlier state or the version before installed is taken over. */
export async function create(inputs: MacInputs, given: ProviderContext = {}) {
  const { openMac, log, environment } = contextWithDefaults(given);
  const installation = randomUUID();
  const access = await openMac(dialTarget(inputs.connection, environment));
  try {
    for (const step of addedWithinOverlap(inputs.input, inputs.directOverlaps ?? {}, {}, Date.now()))
      log(`the Mac: ${step}`);
    return { id: installation, outs: await installOn(access, inputs, { installation, before: {} }, log) };
  } finally {
    await access.close();
  }
}

async function installOn(
  access: MacSession,
  inputs: MacInputs,
  { installation, before }: { installation: string; before: StoredCredentials },
  log: (text: string) => void,
): Promise<MacRecord> {
  const { directOverlaps = {} } = inputs;
  const { input, stored } = withOverlaps(inputs.input, directOverlaps, before, Date.now());
  const { report } = await access.install({ ...inputs, input }, installation);
  const { expected, hardwareUuid, notes, ...rest } = report;
  for (const note of notes) log(`the Mac: ${note}`);
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
    previous: [],
    directCredentials: stored,
    directOverlaps: { ...directOverlaps },
  };
}

/**
 * Brings the Mac to what the inputs say. Another machine at the new address is installed and ready before the former one is
 * taken out of service; what can be known beforehand to fail changes nothing.
 * @throws Error; `PartialUpdate` when the new Mac serves and the former one could not be taken out of service
 */
export async function update(id: string, olds: object, news: MacInputs, given: ProviderContext = {}) {
  const { openMac, log, environment } = contextWithDefaults(given);
  const before = readRecord(olds);
  const access = await openMac(dialTarget(news.connection, environment)).catch((error: unknown) => {
    const { needsMac } = planOf(before, news, olds);
    // Given up: an error here would keep `skipRemoval` itself out of the state, and `destroy` would then ask for the Mac.
    if (needsMac && !news.skipRemoval) throw error;
    const what = needsMac
      ? "nothing was changed on the Mac (macs[].skipRemoval gives it up)"
      : "the Mac was not contacted, only the state is brought up to date";
    log(`${what}: ${firstSentence(error)}`);
  });
  if (access === undefined) {
    return { outs: { ...(olds as MacRecord), report: before.report ?? "{}", removeData: news.removeData } };
  }
  try {
    const { isMove, former } = await formerMac(before, await access.inspect(), news, given);
    const installation = isMove ? randomUUID() : (before.installation ?? randomUUID());
    const outs = await installOn(access, news, { installation, before: before.directCredentials }, log);
    await decommissionAll(
      [...before.previous, ...(former ? [former] : [])],
      { id, outs, news, answered: former },
      given,
    );
    return { outs };
  } finally {
    await access.close();
  }
}

/**
 * Compares the Mac with what the last installation left. A Mac that cannot be read keeps its stored state, with a warning:
 * a Mac that is switched off is not a deleted one.
 * @throws Error instead of the warning when SLM_NETWORK_MAC_UNREAD is `fail`
 */
export async function read(id: string, state: object, given: ProviderContext = {}) {
  const { log, environment } = contextWithDefaults(given);
  const record = readRecord(state);
  try {
    const target = dialTarget(record.connection, environment);
    const found = await withMac(target, given, (access) => access.inspect());
    const drift = record.expected ? driftOf(record.expected, found) : [];
    if (isOtherMachine(record, found)) {
      drift.unshift(`another Mac answers: hardware ${found.hardwareUuid} instead of ${record.hardwareUuid}`);
    }
    return { id, props: { ...state, drift } };
  } catch (error) {
    const what = `the Mac at ${describeConnection(record.connection)} could not be read, so what was changed there by hand is not known: ${firstSentence(error)}`;
    if (environment[unreadVariable] === "fail") throw new Error(what, { cause: error });
    log(`warning: ${what}`);
    return { id, props: state };
  }
}

/**
 * Removes the installation with this state's id; one with another id is left alone by the installer, which says so.
 * @throws Error that says how to go on when the Mac cannot be reached
 */
export async function remove(state: object, given: ProviderContext = {}): Promise<void> {
  const { openMac, log, environment } = contextWithDefaults(given);
  const { connection, installation, removeData = false, previous, report } = readRecord(state);
  const where = describeConnection(connection);
  const access = await openMac(dialTarget(connection, environment)).catch((error: unknown) => {
    throw new Error(
      `the Mac at ${where} cannot be reached, so nothing can be removed from it: ${firstSentence(error)}. Switch it on and run this again. If it is gone for good: set macs[].skipRemoval to true in the stack's config, run \`pulumi up\`, then \`pulumi destroy\`. What is on the Mac then stays there: wipe it before you give it away`,
      { cause: error },
    );
  });
  try {
    const said = removalRefusal(await access.remove(installation, removeData));
    if (said !== "") log(`the Mac at ${where}: ${said}`);
    for (const server of lineServers(report)) {
      log(
        `the direct line of ${server}: the Mac's side is removed. On that server, run as root what \`npm run direct -- --remove ${server}\` prints`,
      );
    }
  } finally {
    await access.close();
  }
  for (const former of previous) {
    // No error: the installation itself is gone by now, and the engine would keep it in the state.
    const text = await decommission(former, openMac).catch(
      (error: unknown) =>
        `warning: the former Mac at ${describeConnection(former.connection)} was never taken out of service (${firstSentence(error)}): wipe it`,
    );
    log(text);
  }
}

/** @returns servers of the direct lines in an installer's report */
function lineServers(report: string | undefined): string[] {
  const lines = z.object({ direct: z.array(z.object({ server: z.string() })).default([]) });
  try {
    return lines.parse(JSON.parse(report ?? "{}")).direct.map(({ server }) => server);
  } catch {
    return [];
  }
}
