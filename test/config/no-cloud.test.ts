/** A model server that launchd starts has Ollama's cloud off, unless the config asks for it. */
import { expect, it } from "vitest";
import { parseStackConfig } from "../../config/config.ts";
import { installInput } from "../../config/install-input.ts";
import type { InstallInput } from "../../runtime/install-input-schema.ts";

const service = { program: "/opt/homebrew/bin/ollama", args: ["serve"], user: "director" };

async function environment(model: Record<string, unknown>): Promise<Record<string, string> | undefined> {
  const config = parseStackConfig({
    hostname: "slm.example.com",
    zoneId: "0".repeat(32),
    accountId: "a".repeat(32),
    access: { servers: [{ name: "backend" }] },
    macs: [{ host: "192.168.0.20", user: "deploy", hostKey: "ssh-ed25519 AAAAC3Nz" }],
    model: { embeddingModel: "bge-m3", ...model },
    tunnelSecret: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=",
  });
  const output = installInput({
    config,
    teamDomain: "acme.cloudflareaccess.com",
    audiences: { servers: "s", people: "p" },
    clientIds: new Map([["backend", `${"0".repeat(32)}.access`]]),
    connectorToken: "token",
  });
  const input = await new Promise<InstallInput>((resolve) => {
    output.apply(resolve);
  });
  return input.modelService?.env;
}

it.each([
  ["by default", { service }, { OLLAMA_NO_CLOUD: "1" }],
  [
    "the config's own value counts",
    { service: { ...service, env: { OLLAMA_NO_CLOUD: "0" } } },
    { OLLAMA_NO_CLOUD: "0" },
  ],
  ["a cloud model is allowed", { service, allowed: ["gpt-oss:120b-cloud"] }, {}],
  ["another kind of server", { service, kind: "openai" }, {}],
])("%s", async (_name, model, expected) => {
  expect(await environment(model)).toEqual(expected);
});
