/** `node relay.mjs --config FILE --secrets FILE`: starts the relay; SIGTERM and SIGINT stop it. Exit 78: bad settings. */
import { parseArgs } from "node:util";
import { createLog } from "./log.ts";
import { startRelay } from "./server.ts";
import { BadSettings, readSettings } from "./settings.ts";

// EX_CONFIG of sysexits(3): tells "the files are wrong" from "it broke".
const BAD_SETTINGS = 78;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" }, secrets: { type: "string" } } });
  if (values.config === undefined || values.secrets === undefined) {
    throw new BadSettings(["usage: node relay.mjs --config FILE --secrets FILE"]);
  }
  const { config, secrets } = await readSettings(values.config, values.secrets);
  const log = createLog();
  const relay = await startRelay(config, secrets, { log });
  const stop = () => {
    relay.close().then(
      () => process.exit(0),
      (cause: unknown) => {
        log.fatal({ err: cause }, "could not stop cleanly");
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
}

main().catch((cause: unknown) => {
  const usage = cause instanceof TypeError && "code" in cause && String(cause.code).startsWith("ERR_PARSE_ARGS");
  const lines = cause instanceof BadSettings ? cause.faults : [cause instanceof Error ? cause.message : String(cause)];
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(cause instanceof BadSettings || usage ? BAD_SETTINGS : 1);
});
