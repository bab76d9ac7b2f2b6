/** Is the Mac ready: reachable, `sudo -n`, clock, disk, model server and models? Over SSH; reads only. */
import { type Finding, fail, ok, warn } from "../../accounts/finding.ts";
import {
  type ListedModel,
  type ModelServer,
  type ModelServerKind,
  modelListUrl,
  modelServer,
} from "../../runtime/model-servers.ts";
import { type MacSession, type MacTarget, openSession, SessionError } from "../../ssh/session.ts";
import { askModelServer, isRefused, wantsKey } from "../model-request.ts";

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
    const found = [ok("mac.ssh", `${user}@${host} answers by SSH, with the host key of the config`)];
    for (const [id, check] of Object.entries({ sudo, chip, clock, disk, model })) {
      found.push(await check(session, wanted).catch((error: unknown) => sessionFinding(`mac.${id}`, error)));
    }
    return found;
  } finally {
    await session.close();
  }
}

/** A session error's message says how to fix it. */
function sessionFinding(id: string, error: unknown): Finding {
  if (!(error instanceof SessionError)) throw error;
  const [says = "", ...rest] = error.message.split(/(?<=[.:)]) (?=[A-Z`])/);
  return fail(id, says.replace(/[.:]$/, ""), rest.join(" ") || "Try by hand: `ssh -v`");
}

async function sudo(session: MacSession): Promise<Finding> {
  await session.checkSudo();
  return ok("mac.sudo", "the account may use `sudo -n`");
}

async function chip(session: MacSession): Promise<Finding> {
  const { stdout } = await session.run(["uname", "-m"]);
  return chipFinding(stdout.trim());
}

/** @param machine what `uname -m` prints; `x86_64` under Rosetta too, which SSH sessions are not */
export function chipFinding(machine: string): Finding {
  const id = "mac.chip";
  if (machine === "arm64") return ok(id, "the Mac has Apple silicon");
  return fail(
    id,
    `the Mac is not an Apple silicon one (\`uname -m\` prints ${JSON.stringify(machine)}): the default builds of Node and cloudflared do not run there`,
    "Use a Mac with Apple silicon; or set artifacts.node and artifacts.cloudflared to the vendors' darwin-x64 and darwin-amd64 builds with their SHA-256, and ignore this",
  );
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
  if (Math.abs(seconds) <= mostSkewSeconds) return ok(id, "the Mac's clock is right");
  return fail(
    id,
    `the Mac's clock is ${Math.abs(seconds)} s ${seconds > 0 ? "ahead of" : "behind"} this machine's: the relay would refuse Access's signed tokens as not yet valid or expired`,
    "On the Mac: `sudo systemsetup -setusingnetworktime on` (or find out which of the two is wrong)",
  );
}

async function disk(session: MacSession, { jobs }: MacWanted): Promise<Finding> {
  const { stdout } = await session.run(["df", "-k", "/"]);
  return diskFinding(stdout, jobs.minFreeMiB);
}

/** @param df what `df -k /` prints */
export function diskFinding(df: string, minFreeMiB: number): Finding {
  const id = "mac.disk";
  const free = Number(df.trim().split("\n").at(-1)?.trim().split(/\s+/)[3]);
  if (Number.isNaN(free))
    return warn(
      id,
      "the Mac's free disk space is unknown: the output of `df -k /` could not be read",
      "See `df -h /` there",
    );
  const freeMiB = Math.floor(free / 1024);
  const needed = minFreeMiB + releasesMiB;
  if (freeMiB >= needed) return ok(id, `the Mac's disk has ${Math.floor(freeMiB / 1024)} GiB free`);
  const todo = "Free space on the Mac, or lower jobs.minFreeMiB";
  return fail(
    id,
    `the Mac's disk has ${freeMiB} MiB free: the releases need ${releasesMiB}, and below jobs.minFreeMiB (${minFreeMiB}) no job is accepted`,
    todo,
  );
}

/** The list of models, asked as the relay asks it; exported for tests. */
export async function model(session: Pick<MacSession, "run">, wanted: MacWanted): Promise<Finding> {
  const { kind, url, embeddingModel } = wanted.model;
  const key = wanted.modelKey;
  const reply = await askModelServer(session, modelListUrl({ kind, url }), { key });
  if (isRefused(reply) || (reply.status === 200 && (await wantsKey(session, { kind, url, key })))) {
    return fail(
      "mac.model",
      `the model server at ${url} (on the Mac) ${key === undefined ? "wants a key" : "refuses modelKey"} (${isRefused(reply) ? reply.status : "401 to an embedding"})`,
      "`pulumi config set --secret modelKey`, with the key that the server was started with",
    );
  }
  if (reply.status !== 200) {
    return fail(
      "mac.model",
      `the model server at ${url} (on the Mac) does not answer: ${reply.status === undefined ? reply.why : `status ${reply.status} for its list of models`}`,
      `Start it there (${modelServer(kind).startHint}), and make sure that model.url is its address, without /v1`,
    );
  }
  return modelFinding(reply.body, { kind, url, embeddingModel });
}

/** @param text the model server's list of models */
export function modelFinding(text: string, { kind, url, embeddingModel }: MacWanted["model"]): Finding {
  const id = "mac.model";
  const server = modelServer(kind);
  const models = listedModels(server, text);
  if (!models) {
    return fail(
      id,
      `what answers at ${url} is not ${server.title}`,
      "Check model.kind and model.url, and which program listens there",
    );
  }
  const names = models.map(({ name }) => name);
  if (names.some((name) => name === embeddingModel || name === server.fullName(embeddingModel))) {
    const remote = models.filter(({ isRemote }) => isRemote).map(({ name }) => name);
    if (remote.length > 0) {
      return warn(
        id,
        `the model server has models of Ollama's cloud (${remote.join(", ")}): what is sent to them leaves the Mac, so the relay refuses them unless model.allowed names them`,
        "On the Mac: `ollama rm` them, and start Ollama with OLLAMA_NO_CLOUD=1 (model.service does)",
      );
    }
    return ok(id, `the model server has ${names.length} models, ${embeddingModel} among them`);
  }
  const todo = `On the Mac: ${server.loadHint(embeddingModel)}`;
  return fail(
    id,
    `model.embeddingModel: the model server has no ${JSON.stringify(embeddingModel)}; it has ${names.join(", ") || "none"}`,
    `${todo}, or set the name of one of them`,
  );
}

function listedModels(server: ModelServer, text: string): ListedModel[] | undefined {
  try {
    return server.readModels(JSON.parse(text));
  } catch {
    return undefined;
  }
}
