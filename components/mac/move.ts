/** A move to another machine: finds the former one and decommissions it once the new one serves. */
import { z } from "zod";
import type { MacState } from "../../runtime/installer/mac-state.ts";
import type { MacTarget } from "../../ssh/session.ts";
import { providerText } from "../dynamic-state.ts";
import { describeConnection, dialTarget, isSameConnection, plainConnection } from "./connection.ts";
import { contextWithDefaults, firstSentence, type ProviderContext, withMac } from "./inspect.ts";
import type { OpenMac } from "./mac-session.ts";
import { moveText } from "./plan.ts";
import type { FormerMac, MacInputs, MacRecord, PreviousState } from "./record.ts";

/**
 * @param seen state of the machine that answers, which is another one than before
 * @returns what `diff` says about it, with what lies on both Macs
 */
export async function describeMove(
  before: PreviousState,
  seen: MacState,
  news: MacInputs,
  given: ProviderContext,
): Promise<string[]> {
  const find = (target: MacTarget) =>
    withMac(target, given, async (access) => ({
      uuid: (await access.inspect()).hardwareUuid,
      data: await access.data().catch(() => "unknown" as const),
    })).catch(() => undefined);
  const { environment } = contextWithDefaults(given);
  const [former, there] = await Promise.all([
    find(plainConnection(before.connection)),
    find(dialTarget(news.connection, environment)),
  ]);
  if (former?.uuid === seen.hardwareUuid) {
    const to = describeConnection(news.connection);
    return [
      `install on ${to}, where the machine is another one than before (hardware ${seen.hardwareUuid} instead of ${before.hardwareUuid}): a new main board, or another Mac with the same address and host key. There is no former Mac to take out of service`,
    ];
  }
  // A third Mac that has the former one's address by now is none that answers.
  const data = former?.uuid === before.hardwareUuid ? former?.data : undefined;
  const newData = there?.data ?? "unknown";
  return moveText({ from: before.connection, to: news.connection, data, newData, gone: news.previousGone });
}

/**
 * Decides whether the machine that answers is another one than before, and whether that one can be reached.
 * @throws Error when it cannot and the config does not say that it is gone
 */
export async function formerMac(
  before: PreviousState,
  state: MacState,
  { connection, previousGone }: MacInputs,
  given: ProviderContext,
): Promise<{ isMove: boolean; former?: FormerMac }> {
  const { openMac, log } = contextWithDefaults(given);
  const { hardwareUuid } = before;
  if (hardwareUuid === state.hardwareUuid) return { isMove: false };
  // The version before did not record it: the same host key is the same machine.
  const isSameKey = plainConnection(before.connection).hostKey === plainConnection(connection).hostKey;
  if (hardwareUuid === undefined && (isSameKey || isSameConnection(before.connection, connection)))
    return { isMove: false };
  const [was, is] = [before.connection, connection].map(describeConnection);
  let why: string;
  try {
    const access = await openMac(plainConnection(before.connection));
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
    why = firstSentence(error);
  }
  if (previousGone) {
    log(
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

/**
 * Removes the installation from the Macs that were moved away from; their data stays.
 * @param answered the one of them that answered a moment ago: `previous: gone` is not about it
 * @throws PartialUpdate naming those that are left
 */
export async function decommissionAll(
  formers: readonly FormerMac[],
  { id, outs, news, answered }: { id: string; outs: MacRecord; news: MacInputs; answered: FormerMac | undefined },
  given: ProviderContext,
): Promise<void> {
  const { openMac, log } = contextWithDefaults(given);
  const left: FormerMac[] = [];
  const reasons: string[] = [];
  for (const former of formers) {
    const where = describeConnection(former.connection);
    try {
      log(await decommission(former, openMac));
    } catch (error) {
      if (news.previousGone && former !== answered) {
        log(`the former Mac at ${where} is forgotten (macs[0].previous: gone)`);
        continue;
      }
      left.push(former);
      reasons.push(
        `the new Mac serves, but the former one at ${where} could not be taken out of service and may still serve beside it: ${firstSentence(error)}.`,
      );
    }
  }
  if (left.length === 0) return;
  throw new PartialUpdate(
    `${reasons.join("\n")}\nRun \`pulumi up\` again when it answers; if it is gone for good, set \`previous: gone\` in macs[0] first`,
    id,
    { ...outs, previous: left, ...providerText(news) },
  );
}

/** @returns what was done, a sentence. @throws Error when the Mac cannot be reached, or the removal fails there */
export async function decommission({ connection, installation }: FormerMac, openMac: OpenMac): Promise<string> {
  const where = describeConnection(connection);
  const access = await openMac(plainConnection(connection));
  try {
    const refusal = removalRefusal(await access.remove(installation, false));
    return refusal === ""
      ? `the former Mac at ${where} is out of service; its data stays in /var/db/slm-network`
      : `the former Mac at ${where} was left alone: ${refusal}`;
  } finally {
    await access.close();
  }
}

/**
 * @param said standard output of a removal; empty when nothing was installed. An installer of the version before says only that it did
 * @returns why the installer removed nothing; empty when it did
 * @throws Error when the output is not an installer's: then it is unknown what was done
 */
export function removalRefusal(said: string): string {
  if (said === "") return "";
  const answer = removalSchema.safeParse(parsed(said));
  if (!answer.success)
    throw new Error("the removal did not say that it was done: look at the Mac with `npm run doctor`");
  return answer.data.removed ? "" : answer.data.reason;
}

const removalSchema = z.discriminatedUnion("removed", [
  z.object({ removed: z.literal(true) }),
  z.object({ removed: z.literal(false), reason: z.string() }),
]);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
