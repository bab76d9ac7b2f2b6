/** The commands that are run on the Mac. None of them changes anything, and none prints a secret. */
import { modelListUrl } from "../../runtime/model-servers.ts";
import { quote } from "../../runtime/shell.ts";
import type { MacEntry, MacSettings } from "../mac-settings.ts";
import { modelProbe } from "./model-probe.ts";

/** A prefix of the product's own paths; empty on a Mac. */
const root = '"$SLM_NETWORK_ROOT"';
const curl = "curl -sS --max-time 10";

/** Connects to the hosts of the connection string as the relay would, and prints only their names and how it went. */
const atlasScript = `
const uri = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")).mongodbUri;
const [, scheme, list] = /^(mongodb(?:\\+srv)?):\\/\\/(?:[^@/]*@)?([^/?]+)/.exec(uri);
const dns = require("node:dns").promises, { connect } = require("node:net");
const hosts = scheme === "mongodb+srv"
  ? dns.resolveSrv("_mongodb._tcp." + list).then((found) => found.map(({ name, port }) => [name, port]))
  : Promise.resolve(list.split(",").map((host) => host.split(":")).map(([name, port]) => [name, Number(port || 27017)]));
hosts.then(async (all) => {
  for (const [host, port] of all) await new Promise((done) => {
    const end = (said) => { console.log(host + ":" + port, said); socket.destroy(); done(); };
    const socket = connect({ host, port, timeout: 5000 }, () => end("open"));
    socket.on("error", (error) => end(error.code || error.message)).on("timeout", () => end("ETIMEDOUT"));
  });
}).catch((error) => console.log(list, error.code || error.message));`;

/** Asks for the list of models with the installed key, which never leaves the Mac; prints as `curl` below does. */
const keyedListScript = `
const { modelKey } = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8"));
fetch(process.argv[2], { headers: modelKey ? { authorization: "Bearer " + modelKey } : {}, signal: AbortSignal.timeout(10000) })
  .then(async (answer) => console.log(await answer.text() + "\\n" + answer.status))
  .catch((error) => { console.error(error.cause?.message || error.message); process.exit(7); });`;

/** @returns the port if the model server is on the Mac itself */
export function ownModelPort(url: string): string | undefined {
  const { hostname, port, protocol } = new URL(url);
  const isOwn = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  return isOwn ? port || (protocol === "https:" ? "443" : "80") : undefined;
}

/** Commands by the name of what they answer. A POSIX shell runs each; `sudo -n` where the Mac asks for it. */
export function questions(
  mac: MacEntry,
  {
    model,
    modelKey,
    documents,
    limits,
    route,
  }: Pick<MacSettings, "model" | "modelKey" | "documents" | "limits"> & {
    route?: Pick<MacSettings["route"], "direct">;
  },
) {
  const { relay, admin, connector } = mac.ports;
  const modelPort = ownModelPort(model.url);
  const listener = `sudo -n lsof -nP -iTCP:${modelPort} -sTCP:LISTEN -t`;
  const models = modelListUrl(model);
  const base = `${root}/usr/local/slm-network/current/bin/node`;
  return {
    sudo: "sudo -n true",
    macos: "sw_vers",
    chip: "uname -m; sysctl -n machdep.cpu.brand_string hw.memsize",
    disk: `df -Pk ${root}/private/var/db`,
    clock: "date +%s",
    fileVault: "fdesetup isactive",
    power: "pmset -g custom",
    ups: "pmset -g ups",
    remoteLogin: "sudo -n systemsetup -getremotelogin",
    metal: "system_profiler SPDisplaysDataType",
    boots: "last reboot shutdown",
    // Only root may read the folder. No report is no error.
    panics: `sudo -n ls ${root}/Library/Logs/DiagnosticReports 2>/dev/null | grep '[.]panic$' | tail -n 20; true`,
    updates: "defaults read /Library/Preferences/com.apple.SoftwareUpdate",
    autoLogin: "defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser",
    services: "sudo -n launchctl list",
    model:
      modelKey === undefined
        ? `${curl} -w '\\n%{http_code}' ${quote(models)}`
        : `sudo -n ${base} -e ${quote(keyedListScript)} ${root}/etc/slm-network/secrets.json ${quote(models)}`,
    tunnel: `${curl} http://127.0.0.1:${connector}/ready`,
    tunnelPlaces: `${curl} http://127.0.0.1:${connector}/metrics | grep '^cloudflared_tunnel_server_locations'`,
    relayReady: `${curl} -w '\\n%{http_code}' http://127.0.0.1:${relay}/readyz`,
    relayState: `${curl} http://127.0.0.1:${admin}/details`,
    modelProbe: modelProbe(base, { model, limits }),
    ...(model.kind === "openai" && { modelProps: `${curl} ${quote(`${model.url.replace(/\/+$/u, "")}/props`)}` }),
    ...(modelPort !== undefined && {
      modelProcess: listener,
      processes: "ps -axo pid=,ppid=,user=,command=",
      // A process' environment may hold anything: only the one variable leaves the Mac.
      modelSlots: `pid=$(${listener} | head -n 1) && [ -n "$pid" ] && sudo -n ps -E -ww -o command= -p "$pid" | tr ' ' '\\n' | grep -E '^OLLAMA_NUM_PARALLEL='`,
    }),
    ...(route !== undefined &&
      route.direct.length > 0 && {
        direct: `sudo -n ${base} ${root}/usr/local/slm-network/current/installer.mjs direct --root ${root}/`,
      }),
    ...(documents.store === "atlas" && {
      atlas: `sudo -n ${base} -e ${quote(atlasScript)} ${root}/etc/slm-network/secrets.json`,
    }),
  };
}

/** Names of what can be asked. */
export type Question = keyof ReturnType<typeof questions>;
