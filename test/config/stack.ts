/** The smallest config of a stack, and what the rules say about others. */
import { ConfigError, parseStackConfig } from "../../config/config.ts";

/** The least that is needed. */
export const LEAST = {
  hostname: "slm.example.com",
  zoneId: "0".repeat(32),
  accountId: "a".repeat(32),
  access: { servers: [{ name: "backend" }] },
  macs: [{ host: "192.168.0.20", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
  model: { embeddingModel: "bge-m3" },
  tunnelSecret: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=",
};

/** All problems of a raw config; none: it is accepted. */
export function problemsOf(raw: Record<string, unknown>): readonly string[] {
  try {
    parseStackConfig(raw);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
