import { once } from "node:events";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { pinnedVersion } from "../../../sandbox/providers/pinned.ts";
import { type Plugin, startPlugin } from "./plugin.ts";

let plugin: Plugin;
beforeAll(async () => {
  plugin = await startPlugin("command");
});
afterAll(() => plugin.stop());

it("reports its version and schema", async () => {
  const { client } = plugin;
  const info = await new Promise<string>((resolve, reject) =>
    client.getPluginInfo(new emptyPb.Empty(), (error, response) =>
      error ? reject(error) : resolve(response.getVersion()),
    ),
  );
  expect(info).toBe(pinnedVersion("command"));
  const schema = await new Promise<string>((resolve, reject) =>
    client.getSchema(new providerPb.GetSchemaRequest(), (error, response) =>
      error ? reject(error) : resolve(response.getSchema()),
    ),
  );
  expect(JSON.parse(schema)).toMatchObject({ name: "command", resources: { "command:remote:Command": {} } });
  const handshake = new providerPb.ProviderHandshakeRequest();
  const taken = await new Promise<providerPb.ProviderHandshakeResponse>((resolve, reject) =>
    client.handshake(handshake, (error, response) => (error ? reject(error) : resolve(response))),
  );
  expect(taken.toObject()).toMatchObject({ acceptSecrets: true, acceptResources: true, acceptOutputs: true });
});

it("refuses calls before configuration, and unknown ones", async () => {
  const early = plugin.create("command:local:Command", { create: "true" });
  await expect(early).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  const configured = await plugin.configure({});
  expect(configured.toObject()).toMatchObject({ acceptsecrets: true, supportspreview: true, acceptoutputs: true });
  const parameterized = new Promise((_, reject) =>
    plugin.client.parameterize(new providerPb.ParameterizeRequest(), (error) => reject(error)),
  );
  await expect(parameterized).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
});

it("keeps the state of a resource without a read", async () => {
  const state = { create: "true", stdout: "x" };
  expect(await plugin.read("command:local:Command", "id", state, { create: "true" })).toEqual({
    id: "id",
    state,
    inputs: { create: "true" },
  });
});

it("ends when the engine that started it is gone", async () => {
  const { spawn } = await import("node:child_process");
  const program = join(import.meta.dirname, "../../../sandbox/providers/command/main.ts");
  const script = `const c = require("node:child_process").spawn(process.execPath, [${JSON.stringify(program)}], { stdio: ["ignore", "inherit", "ignore"] }); console.log("pid " + c.pid);`;
  const parent = spawn(process.execPath, ["-e", `${script} setInterval(() => {}, 1000)`], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  parent.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
  await expect.poll(() => /^pid \d+$/m.test(text) && /^\d+$/m.test(text), { timeout: 10_000 }).toBe(true);
  const pid = Number(/^pid (\d+)$/m.exec(text)?.[1]);
  const gone = once(parent, "exit");
  parent.kill("SIGKILL");
  await gone;
  const alive = () => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  await expect.poll(alive, { timeout: 10_000 }).toBe(false);
});
