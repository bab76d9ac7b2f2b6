import { describe, expect, it } from "vitest";
import type { Answer } from "../../../commands/doctor/check.ts";
import { atlas } from "../../../commands/doctor/checks/atlas.ts";
import { modelAutostart } from "../../../commands/doctor/checks/model-autostart.ts";
import { modelServer } from "../../../commands/doctor/checks/model-server.ts";
import { modelSlots } from "../../../commands/doctor/checks/model-slots.ts";
import { relay } from "../../../commands/doctor/checks/relay.ts";
import { tunnel } from "../../../commands/doctor/checks/tunnel.ts";
import { limitsSchema } from "../../../runtime/limits-config.ts";
import { evaluate, ollama, said } from "./evaluate.ts";
import { launchctlList, places } from "./recorded.ts";

const gone: Answer = { exitCode: 7, stdout: "", stderr: "curl: (7) Failed to connect to 127.0.0.1 port 11434" };

describe("the model server", () => {
  const tags = (...names: string[]) => said(`${JSON.stringify({ models: names.map((name) => ({ name })) })}\n200`);

  it("has the models of the config", () => {
    expect(evaluate(modelServer, { list: tags("qwen3:8b", "bge-m3:latest") })).toMatchObject({
      level: "ok",
      found: /2 models/,
    });
    expect(evaluate(modelServer, { list: tags("qwen3:8b") })).toMatchObject({
      level: "fail",
      todo: /ollama pull bge-m3/,
    });
    const only = { model: { ...ollama, allowed: ["qwen3:8b"] } };
    expect(evaluate(modelServer, { list: tags("bge-m3:latest") }, only)).toMatchObject({
      level: "fail",
      found: /not qwen3:8b/,
    });
    const openai = { model: { ...ollama, kind: "openai" } };
    expect(evaluate(modelServer, { list: said('{"object":"list","data":[{"id":"bge-m3"}]}\n200') }, openai).level).toBe(
      "ok",
    );
  });

  it("has models of Ollama's cloud", () => {
    expect(evaluate(modelServer, { list: tags("bge-m3:latest", "gpt-oss:120b-cloud") })).toMatchObject({
      level: "warn",
      found: expect.stringContaining("gpt-oss:120b-cloud") as string,
      todo: expect.stringContaining("OLLAMA_NO_CLOUD=1") as string,
    });
    const alias = {
      models: [{ name: "bge-m3:latest" }, { name: "mine:latest", remote_host: "https://ollama.com:443" }],
    };
    expect(evaluate(modelServer, { list: said(`${JSON.stringify(alias)}\n200`) })).toMatchObject({ level: "warn" });
  });

  it("is missing, or is something else", () => {
    expect(evaluate(modelServer, { list: gone })).toMatchObject({ level: "fail", todo: /ollama serve/ });
    expect(evaluate(modelServer, { list: said("<html>\n404") })).toMatchObject({ level: "fail", found: /answers 404/ });
    expect(evaluate(modelServer, { list: said("{}\n200") }).level).toBe("fail");
    expect(evaluate(modelServer, { list: said('{"error":{"code":401}}\n401') })).toMatchObject({
      found: /requires a key/,
      todo: /config set --secret modelKey/,
    });
  });

  const processes = (parent: number) =>
    said(
      `    1     0 root     /sbin/launchd\n  733     1 _model   /bin/serve\n  734   ${parent} _model   ollama serve\n`,
    );
  it("is started by launchd, or by a child of a service", () => {
    const services = said(launchctlList);
    expect(evaluate(modelAutostart, { services, listener: said("733\n"), processes: processes(1) })).toMatchObject({
      level: "ok",
      found: /local.slm-network.model/,
    });
    expect(evaluate(modelAutostart, { services, listener: said("734\n"), processes: processes(733) }).level).toBe("ok");
  });

  it("is a user's program, which does not run after a power cut", () => {
    const answers = { services: said(launchctlList), listener: said("734\n"), processes: processes(1) };
    expect(evaluate(modelAutostart, answers)).toMatchObject({
      level: "warn",
      found: "not by launchd: process 734 of _model (ollama serve)",
      means: expect.stringMatching(/after a power cut it does not run\.$/),
      todo: expect.stringContaining("model.service"),
    });
    expect(evaluate(modelAutostart, { ...answers, autoLogin: said("director\n") }).means).toMatch(
      /session of director/,
    );
    expect(evaluate(modelAutostart, { ...answers, listener: said("", 1) }).found).toMatch(/^unknown/);
    const elsewhere = { model: { ...ollama, url: "http://192.168.0.30:11434" } };
    expect(evaluate(modelAutostart, {}, elsewhere).level).toBe("ok");
  });

  it("has as many slots as the relay uses, or fewer", () => {
    const listener = said("734\n");
    const unset = evaluate(modelSlots, { listener, slots: said("", 1) });
    expect(unset).toMatchObject({ level: "warn", found: /not set, so 1; limits.chat is 4/ });
    const four = said("OLLAMA_NUM_PARALLEL=4\n");
    expect(evaluate(modelSlots, { listener, slots: four }).level).toBe("ok");
    const limits = limitsSchema.parse({});
    expect(evaluate(modelSlots, { listener, slots: four }, { limits: { ...limits, chat: 8 } })).toMatchObject({
      level: "warn",
      todo: /PARALLEL=8/,
    });
  });
});

describe("relay, tunnel and Atlas", () => {
  const ready = (connections: number) =>
    said(JSON.stringify({ status: 200, readyConnections: connections, connectorId: "x" }));

  it("reports whether and where the tunnel is connected", () => {
    expect(evaluate(tunnel, { ready: ready(2), locations: said(places) }, { expectColo: [] })).toMatchObject({
      level: "ok",
      found: "2 connections, at PRG, FRA",
    });
    expect(evaluate(tunnel, { ready: ready(2), locations: said(places) }, { expectColo: ["ICN"] })).toMatchObject({
      level: "warn",
      means: /ICN/,
    });
    expect(evaluate(tunnel, { ready: ready(2), locations: said(places) }, { expectColo: ["FRA", "ICN"] }).level).toBe(
      "ok",
    );
    expect(evaluate(tunnel, { ready: ready(0), locations: gone }, { expectColo: ["ICN"] })).toMatchObject({
      level: "fail",
      means: /7844/,
    });
    expect(evaluate(tunnel, { ready: gone, locations: gone }, { expectColo: ["ICN"] })).toMatchObject({
      level: "fail",
      found: /is not running/,
    });
  });

  it("reports whether the relay is ready", () => {
    const details = said(
      JSON.stringify({ uptimeSeconds: 7300, draining: true, model: { circuit: "closed" }, documents: {} }),
    );
    expect(evaluate(relay, { ready: said("ready\n200"), details: details })).toMatchObject({
      level: "ok",
      found: "ready, up for 2 h",
    });
    expect(evaluate(relay, { ready: said("not ready\n503"), details: details })).toMatchObject({
      level: "fail",
      found: /503.*shutting down/,
    });
    expect(evaluate(relay, { ready: gone, details: gone })).toMatchObject({ level: "fail", means: /502/ });
  });

  it("reports which of the cluster's servers answer", () => {
    expect(evaluate(atlas, { hosts: said("a.mongodb.net:27017 open\nb.mongodb.net:27017 open\n") }).level).toBe("ok");
    expect(evaluate(atlas, { hosts: said("a.mongodb.net:27017 open\nb.mongodb.net:27017 ETIMEDOUT\n") })).toMatchObject(
      {
        level: "warn",
        found: "b.mongodb.net:27017 ETIMEDOUT",
      },
    );
    expect(evaluate(atlas, { hosts: said("main.abc.mongodb.net ENOTFOUND\n") })).toMatchObject({
      level: "fail",
      todo: /allowFrom/,
    });
    expect(evaluate(atlas, { hosts: said("", 1) }).found).toMatch(/^unknown/);
  });
});
