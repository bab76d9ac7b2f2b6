/** `npm run preflight`: everything that would make `pulumi up` fail or disappoint, before it starts. Changes nothing. */
import { join } from "node:path";
import { allFindings } from "./checks.ts";
import { readOptions, UsageError, usage } from "./options.ts";
import { counts, exitCode, render, sorted } from "./report.ts";

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(usage);
    return 0;
  }
  const { readOnly, cheap } = options;
  const project = join(import.meta.dirname, "../..");
  const { stack, findings } = await allFindings({ project, stack: options.stack, readOnly, cheap });
  const code = exitCode(findings);
  if (options.json) {
    const report = { stack: stack ?? null, readOnly, ...counts(findings), exitCode: code, findings: sorted(findings) };
    console.log(JSON.stringify(report, null, 2));
  } else {
    console.log(render(findings));
  }
  return code;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof UsageError ? error.message : error);
  process.exitCode = 2;
}
