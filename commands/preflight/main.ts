/** `npm run preflight`: everything that would make `pulumi up` fail or disappoint, before it starts. Reads only. */
import { inLanguage } from "../../accounts/finding.ts";
import { jsonOption, parseCommand, runCommand, stackOption } from "../cli.ts";
import { langOption, reportLanguage } from "../language.ts";
import { withProgress } from "../progress.ts";
import { allFindings } from "./checks.ts";
import { counts, exitCode, render, sorted } from "./report.ts";

const command = {
  name: "preflight",
  summary: "Lists everything that would make `pulumi up` fail or disappoint, with the fix. Changes nothing.",
  options: {
    ...stackOption,
    "read-only": {
      type: "boolean",
      default: false,
      help: "only what a preview in a pull request needs: read-only tokens, no Mac",
    },
    cheap: { type: "boolean", default: false, help: "without the Mac and what takes long: what `npm run up` checks" },
    ...langOption,
    ...jsonOption,
  },
  examples: [
    ["npm run preflight", "before `npm run up`"],
    ["npm run preflight -- --read-only --json", "in a pull request's job"],
    ["npm run preflight -- --lang ko", "the report in Korean"],
  ],
  exitCodes: { 0: "nothing blocks `pulumi up`", 1: "something does" },
} as const;

await runCommand(command, async (args) => {
  const { values } = parseCommand(command, args);
  const { "read-only": readOnly, cheap } = values;
  const language = reportLanguage(values);
  const scope = { stack: values.stack, readOnly, cheap };
  const { stack, findings } = await withProgress("checking the stack, the accounts and the Mac", allFindings(scope));
  const code = exitCode(findings);
  const said = sorted(findings).map((finding) => inLanguage(finding, language));
  const report = { stack: stack ?? null, readOnly, ...counts(findings), exitCode: code, findings: said };
  console.log(values.json ? JSON.stringify(report, null, 2) : render(findings, false, language));
  return code;
});
