/**
 * `node relay.mjs --config FILE --secrets FILE [--take-over] [--admin-port PORT]`: starts the relay.
 *
 * | signal | effect |
 * |---|---|
 * | SIGTERM, SIGINT | stops after the running requests, within `graceSeconds` |
 * | SIGHUP | reloads callers, limits and the limits of jobs from the files; before the start is complete: once it is |
 * | SIGUSR2 | relinquishes the public port and the stores to a relay that was started with `--take-over`, then stops |
 *
 * With `--test-alerts` it starts no relay: it sends a test to each webhook of `alerts` and prints the results as JSON.
 *
 * Exit status 78: the settings are invalid.
 */
import { parseArgs } from "node:util";
import { compactHeap } from "./heap.ts";
import { startRelay } from "./server.ts";
import { InvalidSettings, readSettings } from "./settings.ts";
import { createLog } from "./telemetry/log.ts";
import { startLogRotation } from "./telemetry/log-rotation.ts";

// EX_CONFIG of sysexits(3): distinguishes invalid files from a failure.
const BAD_SETTINGS = 78;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      config: { type: "string" },
      secrets: { type: "string" },
      "take-over": { type: "boolean", default: false },
      "admin-port": { type: "string" },
      "test-alerts": { type: "boolean", default: false },
    },
  });
  if (values.config === undefined || values.secrets === undefined) {
    throw new InvalidSettings(["usage: node relay.mjs --config FILE --secrets FILE"]);
  }
  const files = [values.config, values.secrets] as const;
  const { config, secrets, interrupted } = await readSettings(...files);
  if (values["test-alerts"]) {
    const { sendTestMessages } = await import("./alerts/test-message.ts");
    const results = await sendTestMessages(config, secrets);
    process.stdout.write(`${JSON.stringify(results)}\n`);
    process.exitCode = results.every(({ isDelivered }) => isDelivered) ? 0 : 1;
    return;
  }
  const log = createLog();
  if (interrupted !== undefined) {
    log.warn({ set: interrupted }, "an installation was interrupted between its files; run pulumi up again");
  }
  // A relay that waits for the public port needs an admin port of its own.
  const adminPort = values["admin-port"] === undefined ? config.adminPort : Number(values["admin-port"]);
  const exitAtOnce = (): void => process.exit(0);
  // Nothing to stop or hand over yet. Settings that change meanwhile are read once the relay runs.
  let reloadWanted = false;
  const reloadLater = (): void => {
    reloadWanted = true;
  };
  process.on("SIGTERM", exitAtOnce).on("SIGINT", exitAtOnce).on("SIGUSR2", exitAtOnce).on("SIGHUP", reloadLater);
  const relay = await startRelay({ ...config, adminPort }, secrets, { log, takeOver: values["take-over"] });
  process.off("SIGTERM", exitAtOnce).off("SIGINT", exitAtOnce).off("SIGUSR2", exitAtOnce).off("SIGHUP", reloadLater);
  if (config.logDir !== undefined) startLogRotation(config.logDir, log);
  compactHeap();
  const exitAfter = (stopped: Promise<void>) => {
    stopped.then(
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
      // The relay keeps its settings; the installer sees that nothing changed.
      (cause: unknown) => log.error({ err: cause }, "the new settings are invalid; the old ones stay"),
    );
  };
  const stop = () => exitAfter(relay.close());
  process.on("SIGTERM", stop).on("SIGINT", stop).on("SIGHUP", reload);
  process.on("SIGUSR2", () => exitAfter(relay.relinquish()));
  if (reloadWanted) reload();
}

main().catch((cause: unknown) => {
  const usage = cause instanceof TypeError && "code" in cause && String(cause.code).startsWith("ERR_PARSE_ARGS");
  const lines =
    cause instanceof InvalidSettings ? cause.problems : [cause instanceof Error ? cause.message : String(cause)];
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.exit(cause instanceof InvalidSettings || usage ? BAD_SETTINGS : 1);
});
