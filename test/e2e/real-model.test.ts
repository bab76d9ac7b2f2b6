/**
 * A real model server with a real small model, at the end of the README's first hour: through edge, Access, tunnel and relay.
 * It is skipped only where llama-server can neither be found nor built, with the reason in the report; never in CI, where a
 * build that fails is a failure.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { CLIENTS } from "../../commands/callers/snippets.ts";
import type { Ready } from "../../sandbox/ready.ts";
import { ensureServer, ensureWeights, obstacleTo, readyServer } from "../../sandbox/tools/real/ensure.ts";
import { printedFiles, runCaller, writeCallers } from "./callers.ts";
import { FirstHour } from "./first-hour-path.ts";
import { eventually, inFolder, openai, project, type Ran, ready, run, sandbox, tokenHeaders } from "./harness.ts";

const files = printedFiles(await readFile(join(project, "README.md"), "utf8"));
/** Snippets of `npm run callers` that run as they are, against the one model that the real server has. */
const printed = CLIENTS.filter(({ describedAt }) => describedAt === undefined);
/** How many it takes at once in the sandbox. */
const SLOTS = 2;
const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);

describe("a real model through the whole path", () => {
  let here: Ready;
  let folder = "";
  let path: FirstHour | undefined;
  /** Why the server or the model is not available. */
  let missing: string | undefined;

  beforeAll(async () => {
    inFolder(".sandbox-real");
    process.env.SANDBOX_MODEL = "real";
    missing = readyServer("llama-server") === undefined ? obstacleTo("llama-server") : undefined;
    // Built beside the other tests (test/setup.ts): waited for here, or built here.
    try {
      if (missing === undefined) {
        await ensureWeights(console.log);
        await ensureServer("llama-server", console.log);
      }
    } catch (error) {
      if (process.env.CI) throw error;
      missing = error instanceof Error ? error.message : String(error);
    }
    if (missing !== undefined) {
      console.log(`SKIPPED: no test has a real model here, because ${missing}`);
      return;
    }
    await sandbox("--stop");
    succeeded(await sandbox("--detach", "--no-up"));
    here = await ready();
    path = new FirstHour(here, "sandbox-real-path");
    folder = await mkdtemp(join(tmpdir(), "slm-real-"));
    await writeCallers(files, folder);
  }, 3_000_000);
  beforeEach((context) => context.skip(missing !== undefined, missing));
  afterAll(async () => {
    delete process.env.SANDBOX_MODEL;
    if (missing !== undefined) return;
    await path?.remove();
    await rm(folder, { recursive: true, force: true });
    succeeded(await sandbox("--reset"));
  });

  it("is where the README's first hour leads to", { timeout: 600_000 }, async () => {
    await path!.write();
    await path!.forThisSandbox();
    await path!.deploy();
    const { answer } = await path!.ask();
    expect(answer).toMatchObject({ data: [expect.objectContaining({ id: here.chatModel })] });
    here = { ...here, serviceTokens: await path!.serviceTokens() };
  });

  const question = [{ role: "user" as const, content: "What is the capital of France? Answer in one word." }];

  it("answers, whole and streamed, with what it used", async () => {
    const client = openai(here);
    const whole = await client.chat.completions.create({
      model: here.chatModel,
      messages: question,
      max_tokens: 24,
      temperature: 0,
    });
    expect(whole.choices[0]?.message.content).toMatch(/Paris/);
    expect(whole.usage?.prompt_tokens).toBeGreaterThan(10);
    const stream = await client.chat.completions.create({
      model: here.chatModel,
      messages: question,
      max_tokens: 24,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    let [text, tokens] = ["", 0];
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      tokens = usage?.completion_tokens ?? tokens;
    }
    expect(text).toMatch(/Paris/);
    expect(tokens).toBeGreaterThan(0);
  });

  it.each([...files.keys()])("answers the printed caller %s", async (file) => {
    const { clientId, clientSecret } = here.serviceTokens.backend!;
    const ran = await runCaller(folder, file, {
      SLM_URL: here.url,
      SLM_MODEL: here.chatModel,
      SLM_EMBEDDING_MODEL: here.embeddingModel,
      SLM_CLIENT_ID: clientId,
      SLM_CLIENT_SECRET: clientSecret,
    });
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    expect(ran.stdout.trim()).not.toBe("");
    expect(ran.stdout).not.toContain("받은 말"); // what the emulator says
  });

  // The real server here is llama-server, which has no paths of Ollama.
  const served = printed.filter(({ name }) => !name.startsWith("ollama"));
  it.each(served.map(({ name, template }) => [name, template] as const))(
    "answers what `npm run callers` prints for %s",
    { timeout: 300_000 },
    async (name, template) => {
      const ran = await path!.shell(`npm run -s callers -- backend ${name} --show-secret --model ${here.chatModel}`);
      succeeded(ran);
      // The sandbox's edge is on loopback, and its hostname has no DNS record.
      const snippet = ran.stdout.replaceAll(`https://${here.hostname}`, here.url);
      const own = await mkdtemp(join(tmpdir(), "slm-printed-"));
      try {
        await writeCallers(new Map([[template, snippet]]), own);
        const answered = await runCaller(own, template, {});
        succeeded(answered);
        expect(answered.stdout.trim()).not.toBe("");
        expect(answered.stdout).not.toContain("받은 말"); // what the emulator says
      } finally {
        await rm(own, { recursive: true, force: true });
      }
    },
  );

  it("embeds a document and finds it again", async () => {
    const headers = { ...tokenHeaders(here), "content-type": "application/json" };
    const put = async (title: string, text: string) => {
      const query = new URLSearchParams({ company: "acme", title });
      const body = JSON.stringify({ text });
      const answer = await fetch(`${here.url}/v1/documents?${query}`, { method: "PUT", headers, body });
      expect(answer.status, await answer.text()).toBe(201);
    };
    await put("holidays", "Employees have twenty-five days of paid holiday in a year. The team lead approves them.");
    const answer = await fetch(`${here.url}/v1/documents/search`, {
      method: "POST",
      headers,
      body: JSON.stringify({ company: "acme", title: "holidays", query: "How many days of holiday do I have?", k: 1 }),
    });
    const text = await answer.text();
    expect(answer.status, text).toBe(200);
    expect(text).toContain("twenty-five days");
  });

  it("frees the slot of a caller who leaves", async () => {
    const busy = async () => {
      const slots = z
        .array(z.object({ is_processing: z.boolean() }))
        .parse(await (await fetch(`${here.model}/slots`)).json());
      return slots.filter(({ is_processing }) => is_processing).length;
    };
    const leaving = new AbortController();
    const stream = await openai(here).chat.completions.create(
      {
        model: here.chatModel,
        messages: [{ role: "user", content: "Count from one to a thousand in words." }],
        max_tokens: 2000,
        stream: true,
      },
      { signal: leaving.signal },
    );
    for await (const _ of stream) break;
    leaving.abort();
    await eventually(async () => (await busy()) === 0, 60_000);
  });

  it("is measured by `npm run capacity` through the tunnel: no more at once than it has slots", async () => {
    const { clientId, clientSecret } = here.serviceTokens.backend!;
    const args = [
      "--url",
      here.url,
      "--answers",
      "12",
      "--prompt",
      "40",
      "--seconds",
      "3",
      "--most",
      "8",
      "--minutes",
      "4",
    ];
    const ran = await run(
      process.execPath,
      ["commands/capacity/main.ts", ...args, "--json", "--html", join(folder, "capacity.html")],
      {
        CF_ACCESS_CLIENT_ID: clientId,
        CF_ACCESS_CLIENT_SECRET: clientSecret,
      },
    );
    expect([0, 1], ran.stdout + ran.stderr).toContain(ran.code);
    const { deciding } = z
      .looseObject({ deciding: z.looseObject({ sweep: z.looseObject({ knee: z.looseObject({ atOnce: z.int() }) }) }) })
      .parse(JSON.parse(ran.stdout));
    expect(deciding.sweep.knee.atOnce).toBeLessThanOrEqual(SLOTS);
  }, 400_000);
});
