/** `npm run doctor -- [mac]`: can this Mac serve, and will it recover unattended? Reads only. */
import { readAuth } from "../../ssh/auth.ts";
import { openSession } from "../../ssh/session.ts";
import { jsonOption, keyOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { langOption, reportLanguage } from "../language.ts";
import { chooseMac, readMacSettings, targetOf } from "../mac-settings.ts";
import { withProgress } from "../progress.ts";
import type { Finding } from "./check.ts";
import { checks } from "./checks.ts";
import { render } from "./report.ts";
import { exitCode, runChecks } from "./run.ts";

const command = {
  name: "doctor",
  summary: "Checks a Mac of the stack over SSH and says how to fix what is wrong. Changes nothing.",
  operands: "[mac]",
  options: {
    ...keyOption,
    ...langOption,
    ...stackOption,
    ...jsonOption,
  },
  examples: [
    ["npm run doctor", "the stack's only Mac"],
    ["npm run doctor -- studio --json", "the Mac studio, for a script"],
    ["npm run doctor -- --lang ko", "the report in Korean"],
  ],
  exitCodes: {
    0: "no check failed (there may be warnings)",
    1: "a check failed",
    2: "the Mac could not be asked, or wrong usage",
  },
} as const;

await runCommand(command, async (args) => {
  const { values, positionals } = parseCommand(command, args);
  const language = reportLanguage(values);
  const settings = await readMacSettings(values.stack);
  const mac = chooseMac(settings.macs, positionals[0]);
  const { model, limits, jobs, documents, route } = settings;
  const directServers = route.direct.map(({ server }) => server);
  const context = { mac, model, limits, jobs, documents, expectColo: route.expectColo, directServers, language };
  const session = await openSession(targetOf(mac), await readAuth(values.key));
  let findings: Finding[];
  try {
    findings = await withProgress(`checking the Mac ${mac.name}`, runChecks(session, checks, context));
  } finally {
    await session.close();
  }
  const code = exitCode(findings);
  const result = { mac: mac.name, host: mac.host, exitCode: code, findings };
  console.log(values.json ? JSON.stringify(result, null, 2) : render(mac.name, findings, language));
  return code;
});
