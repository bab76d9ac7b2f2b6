/**
 * `node relay.mjs --config FILE --secrets FILE`: starts the relay. SIGTERM and SIGINT stop it, SIGHUP takes over callers and
 * limits from the files as they are then. Exit 78: bad settings.
 */
import { parseArgs } from "node:util";
import { createLog } from "./log.ts";
import { startRelay } from "./server.ts";
import { BadSettings, readSettings } from "./settings.ts";
import { tidyUp } from "./tidy.ts";

// EX_CONFIG of sysexits(3): tells "the files are wrong" from "it broke".
const BAD_SETTINGS = 78;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: "string" }, secrets: { type: "string" } } });
  if (values.config === undefined || values.secrets === undefined) {
    throw new BadSettings(["usage: node relay.mjs --config FILE --secrets FILE"]);
  }
  const files = [values.config, values.secrets] as const;
  const { config, secrets } = await readSettings(...files);
  const log = createLog();
  const relay = await startRelay(config, secrets, { log });
  tidyUp();
  const stop = () => {
    relay.close().then(
      () => process.exit(0),
      (cause: unknown) => {
        log.fatal({ err: cause }, "could not stop cleanly");
        process.exit(1);
      },
    );
  };
  const reload = () => {
    readSettings(...files).then(
      (read) => relay.reload(read.config),
      // What serves goes on with what it has; the installer sees that nothing changed.
      (cause: unknown) => log.error({ err: cause }, "the new settings can not be used; the old ones stay"),
    );
  };
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", reload);
}

main().catch((cause: unknown) => {
  const usage = cause instanceof TypeError && "code" in cause && String(cause.code).startsWith("ERR_PARSE_ARGS");
  const lines = cause instanceof BadSettings ? cause.faults : [cause instanceof Error ? cause.message : String(cause)];
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(cause instanceof BadSettings || usage ? BAD_SETTINGS : 1);
});
