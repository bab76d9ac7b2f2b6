/** `npm run doctor -- <mac>`: is this Mac fit to serve, and will it come back by itself? Looks only; changes nothing. */
import { parseArgs } from "node:util";
import { readAuth } from "../../ssh/auth.ts";
import { openSession } from "../../ssh/session.ts";
import { isExpected } from "../expected-error.ts";
import { chooseMac, readMacSettings, targetOf } from "../mac-settings.ts";
import { ask } from "./ask.ts";
import { exitCode, findings } from "./checks.ts";
import type { Finding } from "./finding.ts";
import { render } from "./report.ts";

const usage = `npm run doctor -- [mac]     checks a Mac of the stack over SSH and says in words what to do; changes nothing

  --json          for a machine
  --key FILE      private key to sign in with        (default: SLM_NETWORK_SSH_KEY, else the SSH agent)
  --stack NAME    else PULUMI_STACK, else the selected one

Exit code: 0 nothing failed (there may be warnings); 1 something must be mended; 2 the Mac could not be asked.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      key: { type: "string" },
      stack: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const settings = await readMacSettings(values.stack);
  const mac = chooseMac(settings.macs, positionals[0]);
  const session = await openSession(targetOf(mac), await readAuth(values.key));
  const { model, limits, jobs, documents, route } = settings;
  let found: Finding[];
  try {
    const { answers, asked } = await ask(session, mac, settings);
    found = findings(answers, {
      mac,
      model,
      limits,
      jobs,
      documents,
      expectColo: route.expectColo,
      asked,
      directServers: route.direct.map(({ server }) => server),
    });
  } finally {
    await session.close();
  }
  const code = exitCode(found);
  if (values.json)
    console.log(JSON.stringify({ mac: mac.name, host: mac.host, exitCode: code, findings: found }, null, 2));
  else console.log(render(mac.name, found));
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(isExpected(error) ? error.message : error);
  process.exitCode = 2;
}
