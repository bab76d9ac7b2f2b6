/** What runs on the Mac: model server, relay, tunnel, and the way to Atlas. */
import { z } from "zod";
import { type ModelServer, modelServer } from "../../runtime/model-servers.ts";
import { type Answer, type Expected, type Finding, outputOf, unknown } from "./finding.ts";
import { ownModelPort } from "./questions.ts";

const install =
  "Was it installed? `pulumi up`. Else look into its log: `npm run ssh -- tail -n 50 /var/log/slm-network/";

function fromJson<T>(schema: z.ZodType<T>, text: string | undefined): T | undefined {
  try {
    return schema.parse(JSON.parse(text ?? ""));
  } catch {
    return undefined;
  }
}

/** @returns the names of a model list; undefined for anything else */
function listedNames(server: ModelServer, text: string): string[] | undefined {
  try {
    return server.readModels(JSON.parse(text)).map(({ name }) => name);
  } catch {
    return undefined;
  }
}

/** @param answer of curl for the list of models, the status on its last line */
export function modelFinding(answer: Answer | undefined, { model }: Pick<Expected, "model">): Finding {
  const check = "model server";
  const text = outputOf(answer);
  if (text === undefined) {
    return {
      ...unknown(check, answer),
      level: "fail",
      found: `does not answer at ${model.url}`,
      means: "Calls that want a model get 503; jobs wait.",
      todo: `Start it on the Mac (${modelServer(model.kind).startHint}), or correct model.url of the stack's config.`,
    };
  }
  const status = text.slice(text.lastIndexOf("\n") + 1);
  const server = modelServer(model.kind);
  const names = listedNames(server, text.slice(0, text.lastIndexOf("\n")));
  if (status === "401") {
    return {
      check,
      level: "fail",
      found: `answers 401 at ${model.url}: it wants a key, or refuses the one it gets`,
      means: "Calls get 502 model_server_denied; jobs wait.",
      todo: "`pulumi config set --secret modelKey` with the key that the server was started with, then `pulumi up`.",
    };
  }
  if (status !== "200" || names === undefined) {
    return {
      check,
      level: "fail",
      found: `answers ${status} at ${model.url}, and no list of models`,
      means: "It is another program, or of another kind than model.kind says.",
      todo: `model.kind is ${model.kind}: correct it or model.url in the stack's config.`,
    };
  }
  const missing = [...new Set([model.embeddingModel, ...(model.allowed ?? [])])].filter(
    (wanted) => !names.some((name) => name === wanted || name === server.fullName(wanted)),
  );
  if (missing.length === 0) return { check, level: "ok", found: `${names.length} models: ${names.join(", ")}` };
  const pull = missing.map((name) => server.loadHint(name)).join(", ");
  return {
    check,
    level: "fail",
    found: `has ${names.join(", ") || "no model"}, not ${missing.join(", ")}`,
    means: missing.includes(model.embeddingModel)
      ? "model.embeddingModel is not there: documents can not be embedded."
      : "model.allowed names models that are not there.",
    todo: `On the Mac: ${pull}; or correct model of the stack's config.`,
  };
}

/** A process of `ps -axo pid=,ppid=,user=,command=`. */
interface Process {
  readonly parent: number;
  readonly user: string;
  readonly command: string;
}

function readProcesses(text: string): Map<number, Process> {
  const rows = [...text.matchAll(/^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/gm)];
  return new Map(
    rows.map(([, pid, parent, user = "", command = ""]) => [Number(pid), { parent: Number(parent), user, command }]),
  );
}

/** @param text of `launchctl list` as root: the system domain, what starts without anybody signed in. @returns labels by process */
export function readServices(text: string): Map<number, string> {
  return new Map([...text.matchAll(/^(\d+)\t-?\d+\t(\S+)$/gm)].map(([, pid, label = ""]) => [Number(pid), label]));
}

/** What is known of the process that listens on the model server's port. */
export interface ModelAnswers {
  readonly modelProcess?: Answer | undefined;
  readonly processes?: Answer | undefined;
  readonly services?: Answer | undefined;
  readonly modelSlots?: Answer | undefined;
  /** llama-server's `/props`. */
  readonly modelProps?: Answer | undefined;
  readonly autoLogin?: Answer | undefined;
}

/** Is the model server started by launchd's system domain, so also with nobody signed in? */
export function modelStartFinding(answers: ModelAnswers, { model }: Pick<Expected, "model">): Finding {
  const check = "model server's start";
  if (ownModelPort(model.url) === undefined) return { check, level: "ok", found: "it is on another machine" };
  const pid = Number((outputOf(answers.modelProcess) ?? "").trim().split("\n")[0] || Number.NaN);
  const processes = readProcesses(outputOf(answers.processes) ?? "");
  const services = outputOf(answers.services);
  if (Number.isNaN(pid) || services === undefined) return unknown(check, answers.modelProcess ?? answers.services);
  const labels = readServices(services);
  for (let at: number | undefined = pid; at !== undefined && at > 1; at = processes.get(at)?.parent) {
    const label = labels.get(at);
    if (label !== undefined) return { check, level: "ok", found: `by launchd, with nobody signed in (${label})` };
  }
  const process = processes.get(pid);
  const autoLogin = (outputOf(answers.autoLogin) ?? "").trim();
  return {
    check,
    level: "warn",
    found: `not by launchd: process ${pid}${process ? ` of ${process.user} (${process.command.slice(0, 80)})` : ""}`,
    means: `It is a person's program and starts when somebody signs in: after a power cut it is not back${autoLogin ? `, unless it starts with the session of ${autoLogin}, who is signed in by itself` : ""}.`,
    todo: "Set model.service in the stack's config: `pulumi up` then makes a daemon of it that starts with the Mac. End the program in the session first.",
  };
}

/** Does the model server take as many at once as the relay gives it? */
export function slotsFinding(answers: ModelAnswers, { model, limits }: Pick<Expected, "model" | "limits">): Finding {
  const check = "at once";
  const wanted = `limits.chat is ${limits.chatAuto ? `auto, ${limits.chatAuto.min} to ${limits.chatAuto.max}` : limits.chat}`;
  const own = fromJson(propsSchema, outputOf(answers.modelProps))?.total_slots;
  if (own !== undefined) return llamaSlotsFinding(check, own, wanted, limits.chat);
  const { parallel, title } = modelServer(model.kind);
  if (parallel === undefined || ownModelPort(model.url) === undefined) {
    return { check, level: "ok", found: `${wanted}; the model server's own number is not to be seen from here` };
  }
  const listed = Number((outputOf(answers.modelProcess) ?? "").trim().split("\n")[0] || Number.NaN);
  if (Number.isNaN(listed)) return unknown(check, answers.modelProcess);
  const { variable, unset } = parallel;
  const set = new RegExp(`^${variable}=(\\d+)$`, "m").exec(outputOf(answers.modelSlots) ?? "")?.[1];
  const slots = set === undefined ? unset : Number(set);
  const found = `${variable} is ${set ?? `not set, so ${unset}`}; ${wanted}`;
  if (slots >= limits.chat) return { check, level: "ok", found };
  return {
    check,
    level: "warn",
    found,
    means: `${title} works on ${slots} at once; the relay sends it ${limits.chat}, and the others wait there, where neither fairness nor waitSeconds counts.`,
    todo: `Set ${variable}=${limits.chat} for it (model.service.env), or limits.chat: ${slots}. Each place takes memory.`,
  };
}

const propsSchema = z.object({ total_slots: z.int().min(1) });

/** llama-server says how many it takes; what it gets beyond that waits in a queue of its own, without a bound. */
function llamaSlotsFinding(check: string, slots: number, wanted: string, chat: number): Finding {
  const found = `the model server takes ${slots} (--parallel); ${wanted}`;
  if (slots >= chat) return { check, level: "ok", found };
  return {
    check,
    level: "warn",
    found,
    means: `The relay sends it ${chat}, and the others wait there, where neither fairness nor waitSeconds counts.`,
    todo: `Start it with --parallel ${chat} (and as many times the --ctx-size), or set limits.chat: ${slots}.`,
  };
}

const readySchema = z.object({ readyConnections: z.int() });

/** @param ready of cloudflared's /ready @param places the lines `cloudflared_tunnel_server_locations` of its /metrics */
export function tunnelFinding(
  ready: Answer | undefined,
  places: Answer | undefined,
  { expectColo }: Pick<Expected, "expectColo">,
): Finding {
  const check = "tunnel";
  const state = fromJson(readySchema, outputOf(ready));
  if (!state) {
    const todo = `${install}connector.log\`.`;
    return {
      ...unknown(check, ready),
      level: "fail",
      found: "cloudflared does not run",
      means: "Nobody from outside gets through: callers get 530.",
      todo,
    };
  }
  if (state.readyConnections === 0) {
    return {
      check,
      level: "fail",
      found: "cloudflared runs, and has no connection to Cloudflare",
      means:
        "Callers get 530. The office's line is down, a firewall shuts out port 7844, the token is no longer valid, or the tunnel was deleted in the dashboard (`npm run preflight` checks that).",
      todo: "`npm run ssh -- tail -n 50 /var/log/slm-network/connector.log` says which. The ways out that it needs: https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/configure-tunnels/tunnel-with-firewall/",
    };
  }
  const lines = (outputOf(places) ?? "").matchAll(/edge_location="(\w+)"\} 1$/gm);
  const colos = [...new Set([...lines].map(([, place = ""]) => place.slice(0, 3).toUpperCase()))];
  const found = `${state.readyConnections} connections${colos.length > 0 ? `, at ${colos.join(", ")}` : ""}`;
  const elsewhere = expectColo.length > 0 && colos.length > 0 && !colos.some((colo) => expectColo.includes(colo));
  if (!elsewhere) return { check, level: "ok", found };
  return {
    check,
    level: "warn",
    found,
    means: `None of them is at ${expectColo.join(", ")} (route.expectColo): the office's line leads elsewhere.`,
    todo: "cloudflared takes the nearest locations by itself; ask the office's provider about its way to Cloudflare. `npm run probe` measures the callers' side.",
  };
}

const stateSchema = z.object({
  uptimeSeconds: z.number(),
  draining: z.boolean(),
  model: z.object({ circuit: z.unknown() }),
  documents: z.unknown(),
});

/** @param ready of the relay's /readyz, the status on its last line @param details of its admin port */
export function relayFinding(ready: Answer | undefined, details: Answer | undefined): Finding {
  const check = "relay";
  const text = outputOf(ready);
  if (text === undefined) {
    const todo = `${install}relay.log\`.`;
    return { ...unknown(check, ready), level: "fail", found: "does not answer", means: "Callers get 502.", todo };
  }
  const status = text.slice(text.lastIndexOf("\n") + 1);
  const state = fromJson(stateSchema, outputOf(details));
  const since = state ? `, up for ${duration(state.uptimeSeconds)}` : "";
  if (status === "200") return { check, level: "ok", found: `ready${since}` };
  return {
    check,
    level: "fail",
    found: `answers ${status}: it can not serve${state?.draining ? " (it is shutting down)" : ""}${since}`,
    means: "Calls are refused.",
    todo: "`npm run ssh -- tail -n 50 /var/log/slm-network/relay.log` says why; `curl -s 127.0.0.1:<ports.admin>/details` on the Mac shows its state.",
  };
}

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

/** @param answer one line a host of the cluster: name, then `open` or why not */
export function atlasFinding(answer: Answer | undefined): Finding {
  const check = "Atlas";
  const lines = (outputOf(answer) ?? "").trim().split("\n").filter(Boolean);
  if (lines.length === 0) return unknown(check, answer, "It is asked with what `pulumi up` installs.");
  const open = lines.filter((line) => line.endsWith(" open"));
  if (open.length === lines.length) return { check, level: "ok", found: `${open.length} of its servers answer` };
  const closed = lines.filter((line) => !open.includes(line));
  return {
    check,
    level: open.length === 0 ? "fail" : "warn",
    found: closed.join("; "),
    means: "The relay goes on without the document cache: every document is embedded anew.",
    todo: "Is the office's public address in documents.atlas.allowFrom (it may have changed), and does its firewall let port 27017 out?",
  };
}
