/**
 * `node relay.mjs --config FILE --secrets FILE [--take-over] [--admin-port PORT]`: starts the relay. SIGTERM and SIGINT stop
 * it, SIGHUP takes over callers and limits from the files as they are then, SIGUSR2 has it let go for another relay that was
 * started with `--take-over` and waits. Exit 78: bad settings.
 */
import { parseArgs } from "node:util";
import { compactHeap } from "./heap.ts";
import { startRelay } from "./server.ts";
import { InvalidSettings, readSettings } from "./settings.ts";
import { createLog } from "./telemetry/log.ts";
import { startLogRotation } from "./telemetry/log-rotation.ts";

// EX_CONFIG of sysexits(3): tells "the files are wrong" from "it broke".
const BAD_SETTINGS = 78;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: "string" },
      secrets: { type: "string" },
      "take-over": { type: "boolean", default: false },
      "admin-port": { type: "string" },
    },
  });
  if (values.config === undefined || values.secrets === undefined) {
    throw new InvalidSettings(["usage: node relay.mjs --config FILE --secrets FILE"]);
  }
  const files = [values.config, values.secrets] as const;
  const { config, secrets } = await readSettings(...files);
  const log = createLog();
  // One that waits while another serves has its own.
  const adminPort = values["admin-port"] === undefined ? config.adminPort : Number(values["admin-port"]);
  const waiting = (): void => process.exit(0);
  process.on("SIGTERM", waiting).on("SIGINT", waiting); // nothing to stop yet
  const relay = await startRelay({ ...config, adminPort }, secrets, { log, takeOver: values["take-over"] });
  process.off("SIGTERM", waiting).off("SIGINT", waiting);
  if (config.logDir !== undefined) startLogRotation(config.logDir, log);
  compactHeap();
  const end = (ended: Promise<void>) => {
    ended.then(
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
  const stop = () => end(relay.close());
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", reload);
  process.on("SIGUSR2", () => end(relay.relinquish()));
}

main().catch((cause: unknown) => {
  const usage = cause instanceof TypeError && "code" in cause && String(cause.code).startsWith("ERR_PARSE_ARGS");
  const lines =
    cause instanceof InvalidSettings ? cause.problems : [cause instanceof Error ? cause.message : String(cause)];
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(cause instanceof InvalidSettings || usage ? BAD_SETTINGS : 1);
});
