/** `npm run usage -- --month 2026-11`: what was used, by the ledger of the relay on the Mac. Reads only. */
import { runCommand } from "../cli.ts";
import { Refusal, UsageError } from "../errors.ts";
import { askAdmin } from "../mac-admin.ts";
import { chooseMac, readMacSettings } from "../mac-settings.ts";
import { withProgress } from "../progress.ts";
import { command, readOptions } from "./options.ts";
import { csv, table, usageAnswerSchema } from "./report.ts";

const errorSchema = /"message":("(?:[^"\\]|\\.)*")/;

await runCommand(command, async (args) => {
  const options = readOptions(args);
  const { macs } = await readMacSettings(options.stack);
  const mac = chooseMac(macs, options.mac);
  const asking = askAdmin(mac, `/usage${options.query}`, options);
  const { status, body } = await withProgress(`reading the ledger of ${mac.name}`, asking);
  if (status !== 200) {
    const message = errorSchema.exec(body)?.[1];
    const reason = message === undefined ? body.slice(0, 300) : (JSON.parse(message) as string);
    if (status === 404)
      throw new UsageError("the relay on the Mac has no ledger yet: install this release (npm run up)");
    throw new Refusal(reason);
  }
  const answer = usageAnswerSchema.parse(JSON.parse(body));
  if (options.as === "csv") process.stdout.write(csv(answer));
  else console.log(options.as === "json" ? JSON.stringify(answer, null, 2) : table(answer));
});
