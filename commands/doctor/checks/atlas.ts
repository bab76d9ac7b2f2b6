/** Can the Mac reach the cluster's servers? */
import { quote } from "../../../runtime/shell.ts";
import { defineCheck, fail, ok, outputOf, unknown, warn } from "../check.ts";
import { node, root } from "../commands.ts";
import { messagesIn } from "../messages.ts";

/** Connects to the hosts of the connection string as the relay would; prints only their names and the result. */
const script = `
const uri = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")).mongodbUri;
const [, scheme, list] = /^(mongodb(?:\\+srv)?):\\/\\/(?:[^@/]*@)?([^/?]+)/.exec(uri);
const dns = require("node:dns").promises, { connect } = require("node:net");
const hosts = scheme === "mongodb+srv"
  ? dns.resolveSrv("_mongodb._tcp." + list).then((found) => found.map(({ name, port }) => [name, port]))
  : Promise.resolve(list.split(",").map((host) => host.split(":")).map(([name, port]) => [name, Number(port || 27017)]));
hosts.then(async (all) => {
  for (const [host, port] of all) await new Promise((done) => {
    const end = (result) => { console.log(host + ":" + port, result); socket.destroy(); done(); };
    const socket = connect({ host, port, timeout: 5000 }, () => end("open"));
    socket.on("error", (error) => end(error.code || error.message)).on("timeout", () => end("ETIMEDOUT"));
  });
}).catch((error) => console.log(list, error.code || error.message));`;

export const atlas = defineCheck({
  name: "Atlas",
  commands({ documents }) {
    if (documents.store !== "atlas") return {};
    return { hosts: `sudo -n ${node} -e ${quote(script)} ${root}/etc/slm-network/secrets.json` };
  },
  evaluate({ hosts }, context) {
    const { documents } = context;
    if (documents.store !== "atlas") return undefined;
    const say = messagesIn(context).atlas;
    const lines = (outputOf(hosts) ?? "").trim().split("\n").filter(Boolean);
    if (lines.length === 0) return unknown(context, hosts, say.unknownTodo);
    const open = lines.filter((line) => line.endsWith(" open"));
    if (open.length === lines.length) return ok(say.open(open.length));
    const conclude = open.length === 0 ? fail : warn;
    return conclude(...say.closed(lines.filter((line) => !open.includes(line)).join("; ")));
  },
});
