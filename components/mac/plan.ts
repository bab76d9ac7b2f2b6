/** What an `up` will do to the Mac, in words: pure. */
import { reloadablePart } from "../../runtime/config.ts";
import type { MacState } from "../../runtime/installer/mac-state.ts";
import { hasUnknown, isOtherProvider } from "../dynamic-state.ts";
import { describeConnection, isSameConnection, type MacConnection } from "./connection.ts";
import { addedWithinOverlap } from "./direct-credentials.ts";
import { digestsOf, type MacInputs, type PreviousState } from "./record.ts";

/** What is going to happen. */
export interface Plan {
  /** One sentence fragment each; empty: nothing changes. */
  readonly steps: readonly string[];
  /** The Mac is contacted; otherwise only the state changes. */
  readonly needsMac: boolean;
}

const short = (sha: string | undefined): string => sha?.slice(0, 12) ?? "unknown";

/** The relay's settings that it takes over without a restart. */
const reloadable = (news: MacInputs): ReadonlySet<string> =>
  new Set(Object.keys(JSON.parse(reloadablePart(news.input.relay)) as object));

/**
 * @param olds the state as the engine has it, for the provider's text in it
 */
export function planOf(before: PreviousState, news: MacInputs, olds: object = {}): Plan {
  const onMac = [
    ...takeoverSteps(before),
    ...programSteps(before, news),
    ...settingsSteps(before, news),
    ...connectionSteps(before, news),
  ];
  onMac.push(...lineSteps(before, news), ...before.drift.map(repairText));
  for (const { connection } of before.previous)
    onMac.push(`take the former Mac (${describeConnection(connection)}) out of service`);
  const inState = [];
  if (!before.isCommand && isOtherProvider(olds, news)) inState.push("note this version's provider in the state");
  if (before.removeData !== news.removeData) {
    inState.push(`note that a removal ${news.removeData ? "deletes" : "keeps"} the relay's data`);
  }
  return { steps: [...onMac, ...inState], needsMac: onMac.length > 0 };
}

/** @returns what a first installation by this resource does to a Mac in this state */
export function firstText({ connection, release }: MacInputs, { installation, release: installed }: MacState): string {
  const what = `install release ${short(release.sha256)} on ${describeConnection(connection)}`;
  if (installation !== null) {
    return `${what}, and take it over from installation ${installation}: another stack, or this one before it was replaced or its state was lost. A removal by the former one then does nothing`;
  }
  return installed === null ? what : `${what}, and take over what is installed there (release ${short(installed)})`;
}

/**
 * @param difference of `driftOf`
 * @returns what an `up` does about it
 */
export function repairText(difference: string): string {
  const [, id] = /^installation: (?!none )(\S+) instead of /.exec(difference) ?? [];
  return id === undefined
    ? `repair what was changed by hand: ${difference}`
    : `take the Mac back from installation ${id}, which took it over since: another stack, or this one made again? If that stack is to keep the Mac, do not run this`;
}

function takeoverSteps({ isCommand }: PreviousState): string[] {
  return isCommand
    ? ["take the Mac over from command:remote:Command of the version before, and leave an installation id on it"]
    : [];
}

function programSteps(before: PreviousState, { release, node }: MacInputs): string[] {
  const steps = [];
  if (before.release !== release.sha256) {
    steps.push(
      `upgrade the relay from release ${short(before.release)} to ${short(release.sha256)} (the running one hands over, requests go on)`,
    );
  }
  if (before.node !== node.sha256)
    steps.push(`restart the relay with another Node (sha256 ${short(node.sha256)}; the running one hands over)`);
  return steps;
}

function settingsSteps(before: PreviousState, news: MacInputs): string[] {
  if (hasUnknown(news.input)) return ["run the installer with settings that are known only during `pulumi up`"];
  const now = digestsOf(news.input);
  const names = new Set([...Object.keys(before.digests), ...Object.keys(now)]);
  const changed = [...names].filter((name) => before.digests[name] !== now[name]).sort();
  const relay = changed.filter((name) => name.startsWith("relay.")).map((name) => name.replace("relay.", ""));
  const inPlace = reloadable(news);
  const needsStart = [
    ...relay.filter((name) => !inPlace.has(name)),
    ...changed.filter((name) => name === "secrets").map(() => "secrets (database, fallback server, model server)"),
  ];
  const others: Readonly<Record<string, string>> = {
    connectorToken: "restart the connector with another tunnel token (a second one connects first)",
    edgeIpVersion: "restart the connector with another IP version (a second one connects first)",
    connectorPort: "restart the connector with another port for its metrics",
    cloudflared: "restart the connector with another cloudflared (a second one connects first)",
    power: "set the power settings",
    direct: now.direct === undefined ? "remove the direct lines" : "configure the direct lines (SSH)",
    modelService:
      now.modelService === undefined
        ? "remove the model server's daemon"
        : `${before.digests.modelService === undefined ? "start" : "restart"} the model server as a daemon`,
  };
  const steps = [];
  if (needsStart.length > 0) {
    steps.push(
      `restart the relay: ${relay.concat(needsStart.filter((name) => !relay.includes(name))).join(", ")} changed`,
    );
  } else if (relay.length > 0) steps.push(`reload the relay: ${relay.join(", ")} changed (no restart)`);
  for (const name of changed) {
    if (name === "secrets" || name.startsWith("relay.")) continue;
    steps.push(others[name] ?? `run the installer: ${name} changed`);
  }
  return steps;
}

function lineSteps(before: PreviousState, { input, directOverlaps = {} }: MacInputs): string[] {
  if (hasUnknown(input)) return [];
  const steps = addedWithinOverlap(input, directOverlaps, before.directCredentials, Date.now());
  const kept = before.directOverlaps ?? {};
  for (const server of new Set([...Object.keys(kept), ...Object.keys(directOverlaps)])) {
    if (before.directCredentials[server] === undefined || kept[server] === directOverlaps[server]) continue;
    const until = directOverlaps[server];
    steps.push(
      until === undefined
        ? `refuse former secrets of ${server} on its direct line`
        : `accept the former secret of ${server} on its direct line until ${until}`,
    );
  }
  return steps;
}

function connectionSteps(before: PreviousState, { connection }: MacInputs): string[] {
  if (isSameConnection(before.connection, connection)) return [];
  const [was, is] = [before.connection, connection].map(describeConnection);
  if (was === is) return ["reach the Mac with another host key or jump host, and see whether it is another machine"];
  return [`reach the Mac at ${is} instead of ${was}, and see whether it is another machine`];
}

/** What `diff` says about a move once it knows that another machine answers. */
export interface Move {
  readonly from: MacConnection;
  readonly to: MacConnection;
  /** What lies on the former Mac, `unknown` when it cannot be listed; undefined when that Mac does not answer. */
  readonly data: Data | "unknown" | undefined;
  /** What lies on the new one already. */
  readonly newData: Data | "unknown";
  readonly gone: boolean;
}

/** Files with name and size in bytes. */
export type Data = readonly { readonly name: string; readonly bytes: number }[];

const kinds: Readonly<Record<string, string>> = {
  "jobs.db": "jobs and their answers",
  "documents.sqlite": "documents",
  "usage.db": "the ledger of usage",
};

/** @returns lines for a person, with the commands that copy the data */
export function moveText({ from: formerMac, to: newMac, data, newData, gone }: Move): string[] {
  const [from, to] = [describeConnection(formerMac), describeConnection(newMac)];
  const lines = [
    `move to another Mac: ${to} is installed and becomes ready first, then ${from} is taken out of service`,
  ];
  const there = newData === "unknown" ? [] : newData.filter(isMain);
  if (there.length > 0) {
    lines.push(
      `these lie on ${to} already, of an earlier installation or copied there, and are used: ${listed(there)}. Jobs unfinished in them are run. To start without them, or before others are copied there:`,
      `  ssh ${sshWords(newMac)} sudo mv /private/var/db/slm-network "/private/var/db/slm-network.$(date +%s)"`,
    );
  }
  if (data === undefined) {
    lines.push(
      gone
        ? `${from} does not answer and is forgotten (macs[0].previous: gone). What it holds (jobs, documents) stays on its disk`
        : `${from} does not answer: switch it on, or set macs[0].previous: gone if it is gone for good; otherwise \`pulumi up\` stops before it changes anything`,
    );
    return lines;
  }
  if (data === "unknown") {
    lines.push(`what lies on ${from} in /var/db/slm-network could not be listed, and is not copied: jobs, documents`);
    return lines;
  }
  const main = data.filter(isMain);
  if (main.length === 0) return [...lines, `no jobs and no documents lie on ${from}`];
  lines.push(
    `these lie on ${from} in /var/db/slm-network and are not copied: ${listed(main)}`,
    "to take them along, before `pulumi up` (callers get errors from the first command until it is done):",
    `  ssh ${sshWords(formerMac)} sudo launchctl bootout system/local.slm-network.relay`,
    `  ssh ${sshWords(formerMac)} sudo tar -cf - -C /private/var/db slm-network | ssh ${sshWords(newMac)} sudo tar -xf - -C /private/var/db`,
    "without them: nothing to do; they stay on the former Mac after it was taken out of service",
  );
  return lines;
}

// Beside them lie SQLite's own files and notes such as the last sign of life.
const isMain = ({ name }: Data[number]): boolean => kinds[name] !== undefined;
const listed = (data: Data): string =>
  data.map(({ name, bytes }) => `${kinds[name]} (${name}, ${size(bytes)})`).join(", ");

const size = (bytes: number): string =>
  bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${Math.round(bytes / 1024 / 1024)} MiB`;

/** Words for `ssh`. */
const sshWords = ({ user, host, port, jump }: MacConnection): string =>
  [
    ...(jump ? ["-J", `${jump.user}@${jump.host}:${jump.port}`] : []),
    ...(port === 22 ? [] : ["-p", String(port)]),
    `${user}@${host}`,
  ].join(" ");
