/** `npm run usage -- --month 2026-11`: what was used, by the ledger of the relay on the Mac. Reads only. */
import { readAuth } from "../../ssh/auth.ts";
import { openSession } from "../../ssh/session.ts";
import { runCommand } from "../cli.ts";
import { Refusal, UsageError } from "../errors.ts";
import { chooseMac, readMacSettings, targetOf } from "../mac-settings.ts";
import { withProgress } from "../progress.ts";
import { command, readOptions } from "./options.ts";
import { csv, table, usageAnswerSchema } from "./report.ts";

const timeoutMs = 120_000;
const errorSchema = /"message":("(?:[^"\\]|\\.)*")/;

await runCommand(command, async (args) => {
  const options = readOptions(args);
  const { macs } = await readMacSettings(options.stack);
  const mac = chooseMac(macs, options.mac);
  const address = `http://127.0.0.1:${mac.ports.admin}/usage${options.query}`;
  const asking = options.here ? fromHere(address) : overSsh(address);
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

  async function overSsh(url: string): Promise<{ status: number; body: string }> {
    const session = await openSession(targetOf(mac), await readAuth(options.key));
    try {
      const ask = ["curl", "-sS", "--max-time", "110", "-w", "\\n%{http_code}", url];
      const { stdout, stderr, exitCode } = await session.run(ask, { timeoutMs });
      if (exitCode !== 0)
        throw new UsageError(`the relay on ${mac.name} does not answer (${stderr.trim()}): npm run doctor`);
      const at = stdout.lastIndexOf("\n");
      return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
    } finally {
      await session.close();
    }
  }
});

async function fromHere(url: string): Promise<{ status: number; body: string }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    return { status: response.status, body: await response.text() };
  } catch (cause) {
    const reason =
      cause instanceof Error ? ((cause.cause as Error | undefined)?.message ?? cause.message) : String(cause);
    throw new UsageError(`no relay answers at ${url} (${reason}): leave out --here on another computer`);
  }
}
