/** `npm run alerts -- [mac]`: what the relay alerts about, how its messages went, and a test of its webhooks. */
import { readAuth } from "../../ssh/auth.ts";
import { type CommandResult, openSession } from "../../ssh/session.ts";
import { jsonOption, keyOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { curl, node, root } from "../doctor/commands.ts";
import { parseJson } from "../doctor/json.ts";
import { Refusal, UsageError } from "../errors.ts";
import { langOption, readLanguage } from "../language.ts";
import { chooseMac, readMacSettings, targetOf } from "../mac-settings.ts";
import { withProgress } from "../progress.ts";
import { detailsSchema, render, renderTest, testSchema } from "./report.ts";

const command = {
  name: "alerts",
  summary:
    "Shows what the relay on the Mac alerts about now, and how its last messages to alerts.webhooks went; with --test each webhook gets a test message, sent from the Mac. Changes nothing.",
  operands: "[mac]",
  options: {
    test: { type: "boolean", default: false, help: "sends a test message to each webhook, whatever its events" },
    ...keyOption,
    ...langOption,
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run alerts", "what is an alert now"],
    ["npm run alerts -- --test", "does each webhook get its messages?"],
    ["npm run alerts -- studio --json", "the Mac studio, for a script"],
  ],
  exitCodes: {
    0: "no alert at the moment; with --test: every webhook took the message",
    1: "there is an alert, or the stack has no webhooks; with --test: a webhook did not take it",
    2: "the Mac or its relay could not be asked, or wrong usage",
  },
} as const;

const noWebhooks = () =>
  new Refusal(
    "the relay on the Mac has no webhooks for alerts: set alerts.webhooks and run `pulumi up` (docs/alerts.md)",
  );

/** As the relay's own account, whose group may read the secrets: nothing runs as root, and no secret leaves the Mac. */
const test = `sudo -n -u _slmnetwork ${node} ${root}/usr/local/slm-network/current/relay.mjs --config ${root}/etc/slm-network/relay.json --secrets ${root}/etc/slm-network/secrets.json --test-alerts`;

await runCommand(command, async (args) => {
  const { values, positionals } = parseCommand(command, args);
  const language = readLanguage(values.lang);
  const settings = await readMacSettings(values.stack);
  const mac = chooseMac(settings.macs, positionals[0]);
  const session = await openSession(targetOf(mac), await readAuth(values.key));
  const line = values.test ? test : `${curl} http://127.0.0.1:${mac.ports.admin}/details`;
  const label = values.test ? "sending a test to each webhook" : `asking the relay on ${mac.name}`;
  let ran: CommandResult;
  try {
    ran = await withProgress(label, session.run(line));
  } finally {
    await session.close();
  }
  if (values.test) {
    const results = parseJson(testSchema, ran.stdout);
    if (results === undefined)
      throw new UsageError(`the test could not be run: ${ran.stderr.trim() || ran.stdout.trim()}`);
    if (results.length === 0) throw noWebhooks();
    console.log(
      values.json ? JSON.stringify({ mac: mac.name, webhooks: results }, null, 2) : renderTest(results, language),
    );
    return results.every(({ isDelivered }) => isDelivered) ? 0 : 1;
  }
  const details = parseJson(detailsSchema, ran.stdout);
  if (details === undefined) {
    throw new UsageError(
      `the relay on ${mac.name} does not answer (${ran.stderr.trim() || "no details"}): \`npm run doctor\` says why`,
    );
  }
  if (details.alerts === undefined) throw noWebhooks();
  console.log(
    values.json ? JSON.stringify({ mac: mac.name, ...details.alerts }, null, 2) : render(details.alerts, language),
  );
  return details.alerts.active.length > 0 ? 1 : 0;
});
