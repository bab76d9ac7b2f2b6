/** The engine's side of a plugin: its log. */
import { credentials } from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginePb from "@pulumi/pulumi/proto/engine_pb.js";
import type { Severity } from "./definition.ts";

/** Sends lines to the engine's log. */
export interface EngineLog {
  /** Sets the engine's address (`host:port`). */
  attach(address: string): void;
  /** Never throws or waits: a lost line must not fail an update. Without an engine, lines go to standard error. */
  log(severity: Severity, message: string, urn: string, ephemeral: boolean): void;
  /** Resolves when every line sent so far was delivered or lost. */
  flush(): Promise<void>;
}

const severities: Record<Severity, enginePb.LogSeverity> = {
  debug: enginePb.LogSeverity.DEBUG,
  info: enginePb.LogSeverity.INFO,
  warning: enginePb.LogSeverity.WARNING,
  error: enginePb.LogSeverity.ERROR,
};

/** Creates a log without an engine; `attach` connects one. */
export function engineLog(): EngineLog {
  let client: engineGrpc.EngineClient | undefined;
  const pending = new Set<Promise<void>>();
  return {
    attach(address) {
      client?.close();
      client = new engineGrpc.EngineClient(address, credentials.createInsecure());
    },
    log(severity, message, urn, ephemeral) {
      if (!client) {
        process.stderr.write(`${severity}: ${message}\n`);
        return;
      }
      const request = new enginePb.LogRequest();
      request.setSeverity(severities[severity]).setMessage(message).setUrn(urn).setEphemeral(ephemeral);
      const target = client;
      const sent = new Promise<void>((resolve) => target.log(request, () => resolve()));
      pending.add(sent);
      void sent.then(() => pending.delete(sent));
    },
    async flush() {
      await Promise.all(pending);
    },
  };
}
