/** What the doctor says, in English. `ko.ts` has the same keys: a message without a translation does not compile. */
import type { Said } from "../said.ts";
import { duration } from "../units.ts";

const denied: Said = [
  "the model server answers 401: it requires a key, or rejects the one it gets",
  "Calls get 502 model_server_denied; jobs wait.",
  "`pulumi config set --secret modelKey` with the key that the server was started with, then `pulumi up`.",
];
const aboutRevoked = "a token revoked in the dashboard works here until the next `pulumi up --refresh`";
const prepareLine = (server: string) =>
  `On that server, as root: the paste of \`npm run direct -- --prepare ${server}\``;

export const en = {
  /** As the report names the checks. */
  titles: {
    sudo: "sudo",
    macOS: "macOS",
    chip: "chip",
    Metal: "Metal",
    disk: "disk",
    clock: "clock",
    FileVault: "FileVault",
    "power returns": "power returns",
    sleep: "sleep",
    UPS: "UPS",
    "automatic updates": "automatic updates",
    "automatic login": "automatic login",
    "Remote Login": "Remote Login",
    "last starts": "last starts",
    "model server": "model server",
    "model server's start": "model server's start",
    slots: "slots",
    "repeated prompts": "repeated prompts",
    vectors: "vectors",
    relay: "relay",
    tunnel: "tunnel",
    "direct line": "direct line",
    Atlas: "Atlas",
  },
  /** A check of one of several things. */
  titleOf: (title: string, subject: string) => `${title} of ${subject}`,
  summary: (mac: string, ok: number, warn: number, fail: number) =>
    `${mac}: ${ok} ok, ${warn} to look at, ${fail} to fix. Nothing was changed.`,
  unknown: {
    found: (reason: string) => `unknown (${reason})`,
    means: "The check could not be made.",
    notAsked: "not asked",
    exitCode: (code: number | null) => `exit code ${code}`,
  },
  sudo: {
    ok: (user: string) => `${user} becomes root without a password`,
    no: (user: string): Said => [
      `${user} cannot use \`sudo -n\``,
      "`pulumi up` cannot install anything, and some of these checks could not be made.",
      "Run on the Mac what `npm run ssh -- --prepare` prints.",
    ],
  },
  macos: {
    old: (found: string, oldest: string): Said => [
      found,
      `The relay needs macOS ${oldest} or later.`,
      "Update macOS: System Settings → General → Software Update.",
    ],
  },
  chip: {
    memory: (size: string) => `${size} of memory`,
    other: (found: string): Said => [
      found,
      "Node and cloudflared are installed for Apple silicon.",
      "Set artifacts.node and artifacts.cloudflared in the stack's config to builds for this chip.",
    ],
  },
  metal: {
    cores: (cores: string) => `${cores} cores`,
    none: "no graphics processor",
    no: (found: string): Said => [
      found,
      "The model runs on the CPU alone, many times slower.",
      "A virtual machine has no Metal. On a real Mac restart it, then check Apple menu → About This Mac → More Info → System Report → Graphics.",
    ],
  },
  disk: {
    found: (free: string, total: string) => `${free} free of ${total}`,
    todo: "Delete what is not needed. Models are the large files (`ollama list`, `ollama rm <model>`).",
    low: "The disk is filling up.",
    full: (limit: string) => `Below ${limit} (jobs.minFreeMiB) new jobs are refused: callers get 507 disk_low.`,
  },
  clock: {
    same: "same as this machine's",
    ahead: (seconds: number) => `${seconds} s ahead of this machine's`,
    behind: (seconds: number) => `${seconds} s behind this machine's`,
    off: (found: string, tolerance: number): Said => [
      found,
      `Sign-in tokens carry a time: over ${tolerance} s every request is refused with 401. (This machine's clock may be the wrong one.)`,
      "On the Mac: System Settings → General → Date & Time → Set time and date automatically; or `sudo sntp -sS time.apple.com`.",
    ],
  },
  fileVault: {
    off: "off: the Mac starts unattended",
    on: (): Said => [
      "on",
      "After a power cut the Mac waits for a password before anything starts; no setting avoids that. On macOS 26 the password can be entered over SSH (as a user of the Mac), otherwise at its screen.",
      "Either turn it off (System Settings → Privacy & Security → FileVault) and lock the Mac away, or keep it on and plan for somebody to come after a power cut.",
    ],
  },
  powerRestart: {
    on: (settings: string) => `the Mac switches itself on (${settings})`,
    off: (): Said => [
      "the Mac stays off (autorestart 0)",
      "After a power cut somebody must press its power button.",
      "`pulumi up` sets it. By hand: `sudo pmset -a autorestart 1`, or System Settings → Energy → Start up automatically after a power failure.",
    ],
  },
  sleep: {
    never: "never",
    after: (minutes: string): Said => [
      `after ${minutes} min of inactivity`,
      "A sleeping Mac serves nobody: callers get 530 until somebody wakes it.",
      "`pulumi up` sets it. By hand: `sudo pmset -a sleep 0`, or System Settings → Energy → Prevent automatic sleeping.",
    ],
  },
  ups: {
    none: "none shuts this Mac down",
    shuts: (thresholds: string): Said => [
      `shuts the Mac down by ${thresholds}`,
      'If power returns before the UPS is empty, the Mac never lost it and may stay off: after an orderly shutdown, "start up after a power failure" does not apply.',
      "Remove the thresholds (`sudo pmset -u haltlevel 0 haltafter 0 haltremain 0`): acknowledged jobs survive a power cut. Or test on the real Mac that it starts again (docs/operations.md).",
    ],
  },
  updates: {
    off: "off",
    on: "on",
    unset: "not set, so the default of macOS applies",
    mayRestart: (found: string, key: string): Said => [
      found,
      "The Mac may restart at night to install macOS. It recovers unattended, but responses in flight are lost.",
      `Turn off System Settings → General → Software Update → Automatic Updates → Install macOS updates, and update when it suits you; or \`sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate ${key} -bool false\`.`,
    ],
  },
  autoLogin: {
    off: "off",
    as: (user: string): Said => [
      `as ${user}`,
      "Anyone in front of the Mac is signed in. The relay and the tunnel run without a login.",
      "Needed only while the model server starts with a user's session. With model.service turn it off: System Settings → Users & Groups → Automatically log in as.",
    ],
  },
  remoteLogin: {
    on: "on",
    unknownTodo: "It is on at the moment: this check came over it.",
    off: (state: string): Said => [
      `${state}, although this session works`,
      "After the next start the Mac cannot be reached by SSH, and `pulumi up` fails.",
      "System Settings → General → Sharing → Remote Login.",
    ],
  },
  lastStarts: {
    onlyFirst: "only the first start is on record",
    restarted: "restarted",
    crashed: "macOS crashed",
    powerLost: "power lost",
    crash: (found: string): Said => [
      found,
      "macOS itself crashed. Acknowledged jobs survive that, responses in flight do not.",
      "Update macOS; the reports are in /Library/Logs/DiagnosticReports. Often the model server takes too much memory: use a smaller model or fewer slots.",
    ],
  },
  modelServer: {
    silent: (url: string, hint: string): Said => [
      `does not answer at ${url}`,
      "Requests for a model get 503; jobs wait.",
      `Start it on the Mac (${hint}), or correct model.url in the stack's config.`,
    ],
    denied: (url: string): Said => [
      `answers 401 at ${url}: it requires a key, or rejects the one it gets`,
      denied[1],
      denied[2],
    ],
    noList: (status: string, url: string, kind: string): Said => [
      `answers ${status} at ${url}, without a list of models`,
      "It is another program, or another kind of server than model.kind says.",
      `model.kind is ${kind}: correct it or model.url in the stack's config.`,
    ],
    remote: (names: string, remove: string): Said => [
      `has models of Ollama's cloud: ${names}`,
      "Requests to them leave the Mac. The relay refuses them unless model.allowed names them.",
      `On the Mac: ${remove}, and start Ollama with OLLAMA_NO_CLOUD=1 (model.service does).`,
    ],
    models: (count: number, names: string) => `${count} models: ${names}`,
    missing: (names: string, missing: string, isEmbedding: boolean, load: string): Said => [
      `has ${names || "no model"}, not ${missing}`,
      isEmbedding
        ? "model.embeddingModel is missing: documents cannot be embedded."
        : "model.allowed names models that are missing.",
      `On the Mac: ${load}; or correct model in the stack's config.`,
    ],
  },
  modelAutostart: {
    elsewhere: "it is on another machine",
    byLaunchd: (label: string) => `by launchd, without a login (${label})`,
    bySession: (pid: number, process: string, user: string): Said => [
      `not by launchd: process ${pid}${process}`,
      `It starts with a user's session: after a power cut it does not run${user ? `, unless it starts with the session of ${user}, who is logged in automatically` : ""}.`,
      "Set model.service in the stack's config: `pulumi up` then makes it a daemon that starts with the Mac. Quit the program in the session first.",
    ],
    processOf: (user: string, command: string) => ` of ${user} (${command})`,
  },
  modelSlots: {
    wanted: (chat: number, auto: { min: number; max: number } | undefined) =>
      `limits.chat is ${auto ? `auto, ${auto.min} to ${auto.max}` : chat}`,
    own: (slots: number, wanted: string) => `the model server works on ${slots} at once (--parallel); ${wanted}`,
    ownFewer: (found: string, chat: number, slots: number): Said => [
      found,
      `The relay sends it ${chat}; the rest wait there, where neither fairness nor waitSeconds applies.`,
      `Start it with --parallel ${chat} (and as many times the --ctx-size), or set limits.chat: ${slots}.`,
    ],
    invisible: (wanted: string) => `${wanted}; the model server's own limit is not visible from here`,
    variable: (name: string, set: string | undefined, unset: number, wanted: string) =>
      `${name} is ${set ?? `not set, so ${unset}`}; ${wanted}`,
    fewer: (found: string, title: string, slots: number, chat: number, variable: string): Said => [
      found,
      `${title} works on ${slots} at once. The relay sends it ${chat}; the rest wait there, where neither fairness nor waitSeconds applies.`,
      `Set ${variable}=${chat} (model.service.env), or limits.chat: ${slots}. Each slot takes memory.`,
    ],
  },
  modelProbe: {
    denied: (): Said => denied,
    unknown: (why: string) => `unknown (${why})`,
    times: (first: number, again: number) => `${first} ms the first time, ${again} ms again`,
    warm: (times: string) => `come from the cache: ${times}`,
    noDifference: (times: string) => `unknown: the prompt's length makes no difference (${times})`,
    cold: (times: string): Said => [
      `are computed again: ${times}`,
      "A repeated prompt is not kept once others have used its slot. Questions about the same documents cost up to 2.7 times as much.",
      "llama-server: leave --cache-ram on (8192 MiB by default). Ollama: use 0.30 or later.",
    ],
    cosine: (value: string) => `the same text twice: cosine ${value}`,
    differ: (found: string, least: number): Said => [
      found,
      `The model server gives one text different vectors, depending on what it computed before (below ${least}): stored documents and questions do not compare as they should.`,
      "Use an embedding model proper for model.embeddingModel (e.g. bge-m3), or a model server whose prompt cache is off for embeddings.",
    ],
  },
  relay: {
    silent: (log: string): Said => [
      "does not answer",
      "Callers get 502.",
      `Was it installed? \`pulumi up\`. Otherwise see its log: ${log}.`,
    ],
    uptime: (seconds: number) => `, up for ${duration(seconds)}`,
    ready: (uptime: string) => `ready${uptime}`,
    notReady: (status: string, isDraining: boolean, uptime: string, log: string): Said => [
      `answers ${status}: not ready${isDraining ? " (it is shutting down)" : ""}${uptime}`,
      "Requests are refused.",
      `${log} says why; \`curl -s 127.0.0.1:<ports.admin>/details\` on the Mac shows its state.`,
    ],
  },
  tunnel: {
    notRunning: (log: string): Said => [
      "cloudflared is not running",
      "Nothing gets through from outside: callers get 530.",
      `Was it installed? \`pulumi up\`. Otherwise see its log: ${log}.`,
    ],
    notConnected: (log: string, page: string): Said => [
      "cloudflared is running without a connection to Cloudflare",
      "Callers get 530. The office's line is down, a firewall blocks port 7844, the token is no longer valid, or the tunnel was deleted in the dashboard (`npm run preflight` checks that).",
      `${log} says which. What cloudflared needs of a firewall: ${page}`,
    ],
    connections: (count: number, colos: string) => `${count} connections${colos ? `, at ${colos}` : ""}`,
    elsewhere: (found: string, expected: string): Said => [
      found,
      `No connection is at ${expected} (route.expectColo): the office's provider routes elsewhere.`,
      "cloudflared picks the nearest locations itself; ask the office's provider about its route to Cloudflare. `npm run probe` measures the callers' side.",
    ],
  },
  directLines: {
    tooOld: "An installation of an earlier version cannot report this: run `pulumi up`.",
    notInstalled: (): Said => ["not installed", "Its requests have to go through Cloudflare.", "Run `pulumi up`."],
    notConnected: (server: string, problem: string | undefined): Said => [
      `not connected: ${problem ?? "unknown"} (${aboutRevoked})`,
      "Its requests have to go through Cloudflare.",
      `${prepareLine(server)}; the log is /var/log/slm-network/direct-${server}.log.`,
    ],
    unrestricted: (server: string, problems: string): Said => [
      `connected; ${problems} (${aboutRevoked})`,
      "The line's account is not restricted as it should be.",
      `${prepareLine(server)}.`,
    ],
    connected: `connected, the account on the server is restricted (${aboutRevoked})`,
  },
  atlas: {
    unknownTodo: "The check uses what `pulumi up` installs.",
    open: (count: number) => `${count} of its servers answer`,
    closed: (hosts: string): Said => [
      hosts,
      "The relay continues without the document cache: every document is embedded again.",
      "Is the office's public address in documents.atlas.allowFrom (it may have changed), and does its firewall allow outgoing port 27017?",
    ],
  },
};

export type Messages = typeof en;
