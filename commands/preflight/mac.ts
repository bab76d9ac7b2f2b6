/** Is the Mac ready: reachable, `sudo -n`, clock, disk, model server and models? Over SSH; reads only. */
import type { Finding } from "../../accounts/finding.ts";
import {
  type ListedModel,
  type ModelServer,
  type ModelServerKind,
  modelListUrl,
  modelServer,
} from "../../runtime/model-servers.ts";
import { type MacSession, type MacTarget, openSession, SessionError } from "../../ssh/session.ts";
import { askModelServer, isRefused, wantsKey } from "../model-request.ts";
import { fail, ok, warn } from "./messages.ts";

/** The part of the stack's config that is checked. */
export interface MacWanted {
  readonly target: MacTarget;
  readonly model: { readonly kind: ModelServerKind; readonly url: string; readonly embeddingModel: string };
  /** Key of the model server, a secret. */
  readonly modelKey?: string | undefined;
  readonly jobs: { readonly minFreeMiB: number };
}

/** The relay checks signed tokens against the Mac's clock, with this tolerance. */
const mostSkewSeconds = 30;
/** Node, cloudflared and two releases. */
const releasesMiB = 1024;

/** @returns all findings; only the first when the Mac cannot be reached */
export async function checkMac(wanted: MacWanted): Promise<Finding[]> {
  const { host, user } = wanted.target;
  let session: MacSession;
  try {
    session = await openSession(wanted.target);
  } catch (error) {
    return [sessionFinding("mac.ssh", error)];
  }
  try {
    const found = [ok("mac.ssh", (say) => say.mac.answers(user, host))];
    for (const [id, check] of Object.entries({ sudo, chip, clock, disk, model })) {
      found.push(await check(session, wanted).catch((error: unknown) => sessionFinding(`mac.${id}`, error)));
    }
    return found;
  } finally {
    await session.close();
  }
}

function sessionFinding(id: string, error: unknown): Finding {
  if (!(error instanceof SessionError)) throw error;
  return fail(id, (say) => say.ssh(error));
}

async function sudo(session: MacSession): Promise<Finding> {
  await session.checkSudo();
  return ok("mac.sudo", (say) => say.mac.sudo);
}

async function chip(session: MacSession): Promise<Finding> {
  const { stdout } = await session.run(["uname", "-m"]);
  return chipFinding(stdout.trim());
}

/** @param machine what `uname -m` prints; `x86_64` under Rosetta too, which SSH sessions are not */
export function chipFinding(machine: string): Finding {
  const id = "mac.chip";
  if (machine === "arm64") return ok(id, (say) => say.mac.chip);
  return fail(id, (say) => say.mac.otherChip(machine));
}

async function clock(session: MacSession): Promise<Finding> {
  const before = Date.now();
  const { stdout } = await session.run(["date", "+%s"]);
  return clockFinding(Number(stdout) * 1000, before, Date.now());
}

/** @param mac its clock, to the second; asked between `before` and `after`; all in ms since 1970 */
export function clockFinding(mac: number, before: number, after: number): Finding {
  const id = "mac.clock";
  const off = mac + 1000 < before ? mac + 1000 - before : mac > after ? mac - after : 0;
  const seconds = Math.round(off / 1000);
  if (Math.abs(seconds) <= mostSkewSeconds) return ok(id, (say) => say.mac.clock);
  return fail(id, (say) => (seconds > 0 ? say.mac.clockAhead(seconds) : say.mac.clockBehind(-seconds)));
}

async function disk(session: MacSession, { jobs }: MacWanted): Promise<Finding> {
  const { stdout } = await session.run(["df", "-k", "/"]);
  return diskFinding(stdout, jobs.minFreeMiB);
}

/** @param df what `df -k /` prints */
export function diskFinding(df: string, minFreeMiB: number): Finding {
  const id = "mac.disk";
  const free = Number(df.trim().split("\n").at(-1)?.trim().split(/\s+/)[3]);
  if (Number.isNaN(free)) return warn(id, (say) => say.mac.diskUnknown());
  const freeMiB = Math.floor(free / 1024);
  const needed = minFreeMiB + releasesMiB;
  if (freeMiB >= needed) return ok(id, (say) => say.mac.disk(Math.floor(freeMiB / 1024)));
  return fail(id, (say) => say.mac.diskFull(freeMiB, releasesMiB, minFreeMiB));
}

/** The list of models, asked as the relay asks it; exported for tests. */
export async function model(session: Pick<MacSession, "run">, wanted: MacWanted): Promise<Finding> {
  const { kind, url, embeddingModel } = wanted.model;
  const key = wanted.modelKey;
  const reply = await askModelServer(session, modelListUrl({ kind, url }), { key });
  if (isRefused(reply) || (reply.status === 200 && (await wantsKey(session, { kind, url, key })))) {
    const wanted = key === undefined ? "wantsKey" : "refusesKey";
    const status = isRefused(reply) ? String(reply.status) : undefined;
    return fail("mac.model", (say) => say.model[wanted](url, status ?? say.model.toEmbedding));
  }
  if (reply.status === undefined) {
    const { why } = reply;
    return fail("mac.model", (say) => say.model.silent(url, why, kind));
  }
  if (reply.status !== 200) {
    const { status } = reply;
    return fail("mac.model", (say) => say.model.badStatus(url, status, kind));
  }
  return modelFinding(reply.body, { kind, url, embeddingModel });
}

/** @param text the model server's list of models */
export function modelFinding(text: string, { kind, url, embeddingModel }: MacWanted["model"]): Finding {
  const id = "mac.model";
  const server = modelServer(kind);
  const models = listedModels(server, text);
  if (!models) return fail(id, (say) => say.model.other(url, kind));
  const names = models.map(({ name }) => name);
  if (names.some((name) => name === embeddingModel || name === server.fullName(embeddingModel))) {
    const remote = models.filter(({ isRemote }) => isRemote).map(({ name }) => name);
    if (remote.length > 0) return warn(id, (say) => say.model.remote(remote.join(", ")));
    return ok(id, (say) => say.model.ok(names.length, embeddingModel));
  }
  return fail(id, (say) => say.model.missing(embeddingModel, names.join(", "), kind));
}

function listedModels(server: ModelServer, text: string): ListedModel[] | undefined {
  try {
    return server.readModels(JSON.parse(text));
  } catch {
    return undefined;
  }
}
