/** What preflight says, in English. `ko.ts` has the same keys: a message without a translation does not compile. */
import type { Said } from "../../../accounts/finding.ts";
import { describeFailure, type LookupFailure } from "../../../accounts/lookup-result.ts";
import { type ModelServerKind, modelServer } from "../../../runtime/model-servers.ts";
import type { SessionError } from "../../../ssh/session.ts";

const keysPage = "cloud.mongodb.com → the project → Project Access → Applications → API Keys";
const makeOwner = `Give it the role Project Owner: ${keysPage} → Edit`;
const atlasOutages = "Try again; https://status.mongodb.com shows outages";
const botSettings = "dash.cloudflare.com → the zone → Security → Settings → Bot traffic";
const goOn = "`npm run up -- --no-preflight` goes on all the same";

export const en = {
  /** The report's last line. */
  sum: (fail: number, warn: number, ok: number) => `${fail} in the way, ${warn} to know, ${ok} in order.`,
  noConfig: (): Said => [
    "the accounts and the Mac were not checked: that needs the stack's config",
    "Fix the above and run it again",
  ],
  unexpected: (part: string, error: string): Said => [
    `the check of ${part} failed unexpectedly: ${error}`,
    "Run it again; if it fails again, this is a bug in preflight",
  ],
  globalKey: (names: readonly string[]): Said => [
    `the provider signs in to Cloudflare by ${names.join(" and ")}, which preflight cannot use: the account was not checked`,
    "Use an API token, which can be limited: CLOUDFLARE_API_TOKEN=… in .env",
  ],
  node: {
    ok: (version: string) => `Node ${version}`,
    old: (version: string, least: string): Said => [
      `Node is ${version}; TypeScript needs ${least} or later`,
      "`npm ci` installs Node 24 for `npm run …`; or install it from https://nodejs.org",
    ],
    plainOld: (here: string, plain: string, least: string): Said => [
      `Node is ${here} here, but a plain \`pulumi up\` would run Node ${plain}`,
      `Use \`npm run up\`, or install Node ${least} or later`,
    ],
    plainNone: (here: string, least: string): Said => [
      `Node is ${here} here, but a plain \`pulumi up\` would run without Node`,
      `Use \`npm run up\`, or install Node ${least} or later`,
    ],
  },
  pulumi: {
    none: (): Said => [
      "the command `pulumi` is not installed",
      "Install it: https://www.pulumi.com/docs/install/ (macOS: brew install pulumi/tap/pulumi)",
    ],
    version: (version: string) => `Pulumi ${version}`,
    backend: (user: string) => `Pulumi's backend answers (as ${user})`,
    notLoggedIn: (): Said => [
      "Pulumi is not logged in to a backend for the stack's state",
      "`pulumi login` (Pulumi's service), or a folder or bucket of your own: `pulumi login file://~/slm-state`, `pulumi login s3://<bucket>`",
    ],
    backendSilent: (said: string): Said => [
      `Pulumi's backend does not answer: ${said}`,
      "See `pulumi whoami -v`, and PULUMI_BACKEND_URL",
    ],
  },
  stack: {
    notSelected: (): Said => [
      "no stack is selected",
      "Make one: `npm run init`; or select one: `pulumi stack select <name>`, `--stack <name>`",
    ],
    ok: (stack: string, resources: number) => `the stack ${stack} has ${resources} resources`,
    unfinished: (count: number): Said => [
      `an earlier \`up\` was killed: ${count} resources may exist without being recorded`,
      "`pulumi cancel`, then `npm run recover` (docs/sandbox.md)",
    ],
    none: (stack: string): Said => [
      `there is no stack ${JSON.stringify(stack)} in this backend`,
      `\`pulumi stack ls\` lists the stacks; a new one: \`npm run init -- --stack ${stack}\``,
    ],
    unreadable: (stack: string, said: string): Said => [
      `the stack ${stack} cannot be read: ${said}`,
      "See `pulumi stack`",
    ],
    wrongPassphrase: (): Said => [
      "the passphrase is not the one of this stack",
      "PULUMI_CONFIG_PASSPHRASE must be the one that the stack was created with (docs/state.md if it is lost)",
    ],
    noPassphrase: (): Said => [
      "the passphrase for the stack's secrets is not set",
      "Put PULUMI_CONFIG_PASSPHRASE=… into .env (or PULUMI_CONFIG_PASSPHRASE_FILE=<file>): the one that the stack was created with",
    ],
    configUnreadable: (said: string): Said => [`the stack's config cannot be read: ${said}`, "See `pulumi config`"],
  },
  config: {
    ok: (file: string) => `${file} is valid`,
    unknownKey: (key: string, file: string): Said => [
      `${key} is not a setting of slm-network; nothing reads it`,
      `Remove it from ${file}, or correct its name`,
    ],
    /** @param problem of the config's schema, which is in English only */
    problem: (problem: string, file: string): Said => [problem, `Fix it in ${file}`],
  },
  session: {
    short: (ours: string, organization: string): Said => [
      `access.people.sessionDuration is ${ours}, but the organisation's own session ends after ${organization}: people sign in again then`,
      `Set it to ${organization} or less; or raise the organisation's (one.dash.cloudflare.com → Settings → Authentication → Global session timeout)`,
    ],
    ok: (ours: string, organization: string | undefined) =>
      `people's session of ${ours} fits the organisation's (${organization ?? "not limited"})`,
  },
  bots: {
    fightMode: (): Said => [
      "Bot Fight Mode is on in the zone: it answers servers with a challenge that they cannot solve, with or without a token",
      `Turn it off (${botSettings}): it cannot be turned off for one hostname`,
    ],
    automated: (action: string): Said => [
      `Super Bot Fight Mode is set to ${action} "definitely automated" traffic, which includes servers`,
      `Set "Definitely automated" to Allow (${botSettings}), or add a WAF rule that skips it for the hostname`,
    ],
    ok: "Bot Fight Mode does not block servers",
    noPermission: (): Said => [
      "whether Bot Fight Mode is on is unknown: the token may not read it",
      `Make sure that it is off: ${botSettings} (or give the token Zone · Bot Management · Read)`,
    ],
    unknown: (failure: LookupFailure): Said => [
      `whether Bot Fight Mode is on is unknown: ${describeFailure(failure)}`,
      `Make sure that it is off: ${botSettings} (or give the token Zone · Bot Management · Read)`,
    ],
  },
  serviceTokens: {
    ok: "no service token outside this stack has the same name",
    other: (name: string, token: string): Said => [
      `there is a service token ${JSON.stringify(name)} (${token}) that does not belong to this stack; \`up\` creates another with that name`,
      "Delete it when nobody uses it; `npm run init -- --adopt` says what adopting it means (its secret cannot be read)",
    ],
  },
  tokenEnds: (days: number, end: string | undefined): Said => [
    `the Cloudflare API token expires in ${days} days, at ${end}; after that no \`up\` works`,
    "Roll it (dash.cloudflare.com → My Profile → API Tokens) and give the new value to everyone who deploys",
  ],
  atlas: {
    key: (project: string) => `the Atlas key may read the project ${project}`,
    here: "this machine's address",
    noKey: (): Said => [
      "no Atlas credentials are set",
      "Make a service account (cloud.mongodb.com → the project → Project Access → Applications → Service Accounts; role Project Owner, Project Read Only for previews): MONGODB_ATLAS_CLIENT_ID=… and MONGODB_ATLAS_CLIENT_SECRET=… in .env; or an API key: MONGODB_ATLAS_PUBLIC_KEY=… and MONGODB_ATLAS_PRIVATE_KEY=…",
    ],
    keyUnknown: (failure: LookupFailure): Said => [
      `Atlas does not accept the API key or service account (${describeFailure(failure)})`,
      `Copy both halves again, or make a new one: ${keysPage}`,
    ],
    keyAddress: (here: string): Said => [
      `the Atlas API key may not be used from here: its own access list lacks ${here}`,
      `Add ${here} to the key's API Access List (${keysPage} → Edit). That list is separate from the database's`,
    ],
    noProject: (projectId: string, reason: string): Said => [
      `documents.atlas.projectId: the API key sees no project ${projectId} (${reason})`,
      "Compare the id (Atlas → Project Settings), and add the key to that project: Project Access → Applications → API Keys → Invite",
    ],
    silent: (failure: LookupFailure): Said => [`Atlas did not answer: ${describeFailure(failure)}`, atlasOutages],
    mayWrite: "the Atlas key may change the project",
    readOnly: (): Said => ["the Atlas key may only read the project", makeOwner],
    forbidden: (failure: LookupFailure): Said => [
      `the Atlas key may not do this: ${describeFailure(failure)}`,
      makeOwner,
    ],
    notChecked: (failure: LookupFailure): Said => [`could not be checked: ${describeFailure(failure)}`, atlasOutages],
    nameTaken: (name: string, size: string): Said => [
      `documents.atlas.cluster.create: a cluster ${name} exists already (${size})`,
      `Choose another name, or set cluster: ${name} to use that one`,
    ],
    flexExists: (name: string) => `the Flex cluster ${name} exists`,
    flexPlanned: (name: string) => `${name} will be created as a Flex cluster, which takes minutes`,
    noCluster: (name: string, names: string): Said => [
      `documents.atlas.cluster: the project has no cluster ${JSON.stringify(name)}; it has ${names || "none"}`,
      "Set one of these names, or { create: { name: slm } } for a new Flex cluster",
    ],
    paused: (name: string): Said => [
      `the cluster ${name} is paused: nothing can connect to it`,
      "Atlas → Clusters → … → Resume; it takes some minutes (a paused one is resumed by Atlas after 30 days anyway)",
    ],
    busy: (name: string, state: string): Said => [
      `the cluster ${name} is ${state}`,
      "Wait until Atlas shows it as ready; `up` waits too, for minutes",
    ],
    cluster: (name: string, size: string, region: string, version: string) =>
      `the cluster ${name} exists (${size}, ${region}, MongoDB ${version})`,
    usersFree: (names: readonly string[]) =>
      `the database users ${names.join(" and ")} are free or belong to this stack`,
    userTaken: (name: string, roles: string): Said => [
      `the database user ${name} (${roles}) exists and does not belong to this stack`,
      "Another stack of this Atlas project? Set documents.atlas.userPrefix, or use another documents.atlas.database; or delete that user when nobody signs in as it (Atlas → Database Access); `npm run init -- --adopt` adopts it",
    ],
    address: (address: string) => `the cluster accepts this machine's address (${address})`,
    notAllowed: (allowFrom: string, address: string): Said => [
      `documents.atlas.allowFrom is ${allowFrom}, and Atlas sees this machine as ${address}: \`up\` could not create the collection`,
      `Add ${address}/32; if the Mac is in another network, its public address too`,
    ],
  },
  mac: {
    answers: (user: string, host: string) => `${user}@${host} answers by SSH, with the host key of the config`,
    sudo: "the account may use `sudo -n`",
    chip: "the Mac has Apple silicon",
    otherChip: (machine: string): Said => [
      `the Mac is not an Apple silicon one (\`uname -m\` prints ${JSON.stringify(machine)}): the default builds of Node and cloudflared do not run there`,
      "Use a Mac with Apple silicon; or set artifacts.node and artifacts.cloudflared to the vendors' darwin-x64 and darwin-amd64 builds with their SHA-256, and ignore this",
    ],
    clock: "the Mac's clock is right",
    clockAhead: (seconds: number): Said => clockOff(seconds, "ahead of"),
    clockBehind: (seconds: number): Said => clockOff(seconds, "behind"),
    diskUnknown: (): Said => [
      "the Mac's free disk space is unknown: the output of `df -k /` could not be read",
      "See `df -h /` there",
    ],
    disk: (freeGiB: number) => `the Mac's disk has ${freeGiB} GiB free`,
    diskFull: (freeMiB: number, releases: number, minFree: number): Said => [
      `the Mac's disk has ${freeMiB} MiB free: the releases need ${releases}, and below jobs.minFreeMiB (${minFree}) no job is accepted`,
      "Free space on the Mac, or lower jobs.minFreeMiB",
    ],
  },
  model: {
    wantsKey: (url: string, answer: string): Said => [
      `the model server at ${url} (on the Mac) wants a key (${answer})`,
      setKey,
    ],
    refusesKey: (url: string, answer: string): Said => [
      `the model server at ${url} (on the Mac) refuses modelKey (${answer})`,
      setKey,
    ],
    toEmbedding: "401 to an embedding",
    /** @param why curl's message */
    silent: (url: string, why: string, kind: ModelServerKind): Said => [
      `the model server at ${url} (on the Mac) does not answer: ${why}`,
      `Start it there (${modelServer(kind).startHint}), and make sure that model.url is its address, without /v1`,
    ],
    badStatus: (url: string, status: number, kind: ModelServerKind): Said => [
      `the model server at ${url} (on the Mac) does not answer: status ${status} for its list of models`,
      `Start it there (${modelServer(kind).startHint}), and make sure that model.url is its address, without /v1`,
    ],
    other: (url: string, kind: ModelServerKind): Said => [
      `what answers at ${url} is not ${modelServer(kind).title}`,
      "Check model.kind and model.url, and which program listens there",
    ],
    remote: (names: string): Said => [
      `the model server has models of Ollama's cloud (${names}): what is sent to them leaves the Mac, so the relay refuses them unless model.allowed names them`,
      "On the Mac: `ollama rm` them, and start Ollama with OLLAMA_NO_CLOUD=1 (model.service does)",
    ],
    ok: (count: number, embeddingModel: string) => `the model server has ${count} models, ${embeddingModel} among them`,
    missing: (embeddingModel: string, names: string, kind: ModelServerKind): Said => [
      `model.embeddingModel: the model server has no ${JSON.stringify(embeddingModel)}; it has ${names || "none"}`,
      `On the Mac: ${modelServer(kind).loadHint(embeddingModel)}, or set the name of one of them`,
    ],
  },
  mute: {
    macSilent: (at: string, seconds: number): Said => mute("the Mac", at, `says nothing for ${seconds} s`),
    macOther: (at: string): Said => mute("the Mac", at, "does not speak SSH"),
    jumpSilent: (at: string, seconds: number): Said => mute("the jump host", at, `says nothing for ${seconds} s`),
    jumpOther: (at: string): Said => mute("the jump host", at, "does not speak SSH"),
    answers: (host: string) => `${host} answers by SSH`,
    answersThrough: (host: string, jump: string) => `${host} answers by SSH, through ${jump}`,
    behind: (at: string, jump: string, seconds: number, { message }: SessionError): Said => [
      `the Mac ${at} behind ${jump} does not answer within ${seconds} s (${message})`,
      `Restart it, or correct host and port; ${goOn}`,
    ],
  },
  /** A session error's message says how to fix it. */
  ssh: ({ message }: SessionError): Said => {
    const [says = "", ...rest] = message.split(/(?<=[.:)]) (?=[A-Z`])/);
    return [says.replace(/[.:]$/, ""), rest.join(" ") || "Try by hand: `ssh -v`"];
  },
};

const setKey = "`pulumi config set --secret modelKey`, with the key that the server was started with";

function clockOff(seconds: number, how: string): Said {
  return [
    `the Mac's clock is ${seconds} s ${how} this machine's: the relay would refuse Access's signed tokens as not yet valid or expired`,
    "On the Mac: `sudo systemsetup -setusingnetworktime on` (or find out which of the two is wrong)",
  ];
}

function mute(who: string, at: string, how: string): Said {
  return [
    `${who} ${at} accepts connections and ${how}: the upload would wait for it without an end`,
    `Restart it, or correct host and port; \`ssh -v\` shows the same. ${goOn}`,
  ];
}

/** The messages of preflight, in any language. */
export type Messages = typeof en;
