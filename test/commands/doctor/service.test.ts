import { describe, expect, it } from "vitest";
import type { Answer } from "../../../commands/doctor/finding.ts";
import {
  atlasFinding,
  modelFinding,
  modelStartFinding,
  relayFinding,
  slotsFinding,
  tunnelFinding,
} from "../../../commands/doctor/service.ts";
import { limitsSchema } from "../../../runtime/config.ts";
import { launchctlList, places } from "./recorded.ts";

const said = (stdout: string, exitCode = 0): Answer => ({ exitCode, stdout, stderr: "" });
const gone: Answer = { exitCode: 7, stdout: "", stderr: "curl: (7) Failed to connect to 127.0.0.1 port 11434" };
const ollama = { model: { kind: "ollama", url: "http://127.0.0.1:11434", embeddingModel: "bge-m3" } } as const;
const limits = limitsSchema.parse({});

describe("the model server", () => {
  const tags = (...names: string[]) => said(`${JSON.stringify({ models: names.map((name) => ({ name })) })}\n200`);

  it("is there, with the models the stack names", () => {
    expect(modelFinding(tags("qwen3:8b", "bge-m3:latest"), ollama)).toMatchObject({ level: "ok", found: /2 models/ });
    expect(modelFinding(tags("qwen3:8b"), ollama)).toMatchObject({ level: "fail", todo: /ollama pull bge-m3/ });
    const only = { model: { ...ollama.model, allowed: ["qwen3:8b"] } };
    expect(modelFinding(tags("bge-m3:latest"), only)).toMatchObject({ level: "fail", found: /not qwen3:8b/ });
    const openai = { model: { ...ollama.model, kind: "openai" } } as const;
    expect(modelFinding(said('{"object":"list","data":[{"id":"bge-m3"}]}\n200'), openai).level).toBe("ok");
  });

  it("is not there, or is something else", () => {
    expect(modelFinding(gone, ollama)).toMatchObject({ level: "fail", todo: /ollama serve/ });
    expect(modelFinding(said("<html>\n404"), ollama)).toMatchObject({ level: "fail", found: /answers 404/ });
    expect(modelFinding(said("{}\n200"), ollama).level).toBe("fail");
    expect(modelFinding(said('{"error":{"code":401}}\n401'), ollama)).toMatchObject({
      found: /wants a key/,
      todo: /config set --secret modelKey/,
    });
  });

  const processes = (parent: number) =>
    said(
      `    1     0 root     /sbin/launchd\n  733     1 _model   /bin/serve\n  734   ${parent} _model   ollama serve\n`,
    );
  it("is started by launchd itself or by a child of it", () => {
    const services = said(launchctlList);
    expect(modelStartFinding({ services, modelProcess: said("733\n"), processes: processes(1) }, ollama)).toMatchObject(
      {
        level: "ok",
        found: /local.slm-network.model/,
      },
    );
    expect(modelStartFinding({ services, modelProcess: said("734\n"), processes: processes(733) }, ollama).level).toBe(
      "ok",
    );
  });

  it("is a person's program, which is not back after a power cut", () => {
    const answers = { services: said(launchctlList), modelProcess: said("734\n"), processes: processes(1) };
    expect(modelStartFinding(answers, ollama)).toMatchObject({
      level: "warn",
      found: "not by launchd: process 734 of _model (ollama serve)",
      means: expect.stringMatching(/after a power cut it is not back\.$/),
      todo: expect.stringContaining("model.service"),
    });
    expect(modelStartFinding({ ...answers, autoLogin: said("director\n") }, ollama).means).toMatch(
      /session of director/,
    );
    expect(modelStartFinding({ ...answers, modelProcess: said("", 1) }, ollama).found).toMatch(/^not known/);
    const elsewhere = { model: { ...ollama.model, url: "http://192.168.0.30:11434" } };
    expect(modelStartFinding({}, elsewhere).level).toBe("ok");
  });

  it("works on as many at once as the relay sends it, or not", () => {
    const modelProcess = said("734\n");
    const unset = slotsFinding({ modelProcess, modelSlots: said("", 1) }, { ...ollama, limits });
    expect(unset).toMatchObject({ level: "warn", found: /not set, so 1; limits.chat is 4/ });
    const four = said("OLLAMA_NUM_PARALLEL=4\n");
    expect(slotsFinding({ modelProcess, modelSlots: four }, { ...ollama, limits }).level).toBe("ok");
    const eight = { ...ollama, limits: { ...limits, chat: 8 } };
    expect(slotsFinding({ modelProcess, modelSlots: four }, eight)).toMatchObject({
      level: "warn",
      todo: /PARALLEL=8/,
    });
  });
});

describe("relay, tunnel and Atlas", () => {
  const ready = (connections: number) =>
    said(JSON.stringify({ status: 200, readyConnections: connections, connectorId: "x" }));

  it("the tunnel is connected, and where", () => {
    expect(tunnelFinding(ready(2), said(places), { expectColo: [] })).toMatchObject({
      level: "ok",
      found: "2 connections, at PRG, FRA",
    });
    expect(tunnelFinding(ready(2), said(places), { expectColo: ["ICN"] })).toMatchObject({
      level: "warn",
      means: /ICN/,
    });
    expect(tunnelFinding(ready(2), said(places), { expectColo: ["FRA", "ICN"] }).level).toBe("ok");
    expect(tunnelFinding(ready(0), gone, { expectColo: ["ICN"] })).toMatchObject({ level: "fail", means: /7844/ });
    expect(tunnelFinding(gone, gone, { expectColo: ["ICN"] })).toMatchObject({ level: "fail", found: /does not run/ });
  });

  it("the relay can serve, or why not", () => {
    const details = said(
      JSON.stringify({ uptimeSeconds: 7300, draining: true, model: { circuit: "closed" }, documents: {} }),
    );
    expect(relayFinding(said("ready\n200"), details)).toMatchObject({ level: "ok", found: "ready, up for 2 h" });
    expect(relayFinding(said("not ready\n503"), details)).toMatchObject({ level: "fail", found: /503.*shutting down/ });
    expect(relayFinding(gone, gone)).toMatchObject({ level: "fail", means: /502/ });
  });

  it("the cluster's servers answer, some of them, or none", () => {
    expect(atlasFinding(said("a.mongodb.net:27017 open\nb.mongodb.net:27017 open\n")).level).toBe("ok");
    expect(atlasFinding(said("a.mongodb.net:27017 open\nb.mongodb.net:27017 ETIMEDOUT\n"))).toMatchObject({
      level: "warn",
      found: "b.mongodb.net:27017 ETIMEDOUT",
    });
    expect(atlasFinding(said("main.abc.mongodb.net ENOTFOUND\n"))).toMatchObject({ level: "fail", todo: /allowFrom/ });
    expect(atlasFinding(said("", 1)).found).toMatch(/^not known/);
  });
});
