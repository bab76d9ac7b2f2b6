/** The Mac's whole life: installed, left alone, upgraded, without power, and removed; with clients calling all the while. */

import { access, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDocument } from "yaml";
import { z } from "zod";
import { modelServerLabel } from "../../sandbox/mac/outside-daemon.ts";
import { claimPort } from "../../sandbox/machine/ports.ts";
import { CHAT_MODEL } from "../../sandbox/model/models.ts";
import type { Ready } from "../../sandbox/ready.ts";
import { folder, inFolder, project, pulumi, type Ran, sandbox, start, strays, tokenHeaders } from "./harness.ts";

inFolder(".sandbox-mac");
const stackFile = join(project, "Pulumi.sandbox-mac.yaml");
/** Several runs of the engine each, on a machine that may be busy. */
const long = 900_000;

let here: Ready;
let modelPort: number;
const timings: Record<string, string> = {};

const said = (ran: Ran) => ran.stdout + ran.stderr;
const onMac = (path: string) => join(here.macRoot, path);
const identity = async () =>
  z
    .looseObject({ tunnelSecret: z.string(), ports: z.looseObject({ relayAdmin: z.int() }) })
    .parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));

async function configure(...changes: [path: (string | number)[], value: unknown][]): Promise<void> {
  const document = parseDocument(await readFile(stackFile, "utf8"));
  for (const [[key, ...rest], value] of changes) document.setIn(["config", `slm-network:${key}`, ...rest], value);
  await writeFile(stackFile, document.toString());
}

async function timed<T>(what: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  const value = await work();
  timings[what] = `${((performance.now() - began) / 1000).toFixed(1)} s`;
  return value;
}

async function up(what: string, ...args: string[]): Promise<Ran> {
  const ran = await timed(what, () => pulumi(here, "up", "--yes", "--skip-preview", ...args));
  expect(ran.code, said(ran)).toBe(0);
  return ran;
}

const outputSchema = z.object({
  macReport: z.string().transform((text) => z.looseObject({ restarted: z.array(z.string()) }).parse(JSON.parse(text))),
  macWarnings: z.array(z.string()),
});
const outputs = async () => outputSchema.parse(JSON.parse((await pulumi(here, "stack", "output", "--json")).stdout));

async function tell(...args: string[]): Promise<void> {
  const ran = await sandbox("--do", ...args);
  expect(ran.code, said(ran)).toBe(0);
}

const details = async () => {
  const { ports } = await identity();
  const answer = await fetch(`http://127.0.0.1:${ports.relayAdmin}/details`);
  return z
    .looseObject({ outages: z.array(z.looseObject({ jobsRunAgain: z.array(z.string()) })) })
    .parse(await answer.json());
};

/** OpenAI's own client with its own retries, as it comes. */
const client = () => new OpenAI({ baseURL: `${here.url}/v1`, apiKey: "unused", defaultHeaders: tokenHeaders(here) });
const ask = (content: string) => ({ model: CHAT_MODEL, messages: [{ role: "user" as const, content }] });

beforeAll(async () => {
  await sandbox("--stop");
  here = await timed("sandbox with the first `pulumi up`", start);
  modelPort = await claimPort();
});
afterAll(async () => {
  console.log("times:", JSON.stringify(timings, null, 1));
  await tell("boot").catch(() => {});
  const ran = await sandbox("--reset");
  expect(ran.code, said(ran)).toBe(0);
  expect(await strays()).toEqual([]);
});

describe("an installation", () => {
  it("reports the power settings it has read back, and that launchd starts the model server", {
    timeout: long,
  }, async () => {
    const { macReport, macWarnings } = await outputs();
    expect(macReport).toMatchObject({
      power: { settings: { sleep: 0, disksleep: 0, womp: 1, powernap: 0, autorestart: 1 }, fileVault: "off" },
      modelServer: { startedBy: "launchd", label: "sandbox.model-server" },
    });
    expect(macWarnings.join("\n")).not.toMatch(/launchd/);
    await up("`pulumi up` with nothing to do", "--expect-no-changes");
  });

  it("takes the model server along, and takes what was uploaded when the Mac has no way out", {
    timeout: long,
  }, async () => {
    await configure(
      [["model", "url"], `http://127.0.0.1:${modelPort}`],
      [
        ["model", "service"],
        {
          program: process.execPath,
          args: [join(project, "test/runtime/relay/drills/model-process.ts"), String(modelPort)],
          env: { OLLAMA_NUM_PARALLEL: "4" },
          user: "deploy",
        },
      ],
      [["artifacts", "push"], true],
    );
    await up("`pulumi up` with the model server as a daemon and two uploads");
    const { macReport, macWarnings } = await outputs();
    expect(macReport).toMatchObject({ modelServer: { startedBy: "launchd", label: "local.slm-network.model" } });
    expect(macReport.restarted).toContain("local.slm-network.model");
    expect(macWarnings).toEqual([]);
    // Installed, and removed from the home that they were uploaded to; /tmp is everybody's.
    for (const folder of ["private/tmp", "Users/deploy"]) {
      expect((await readdir(onMac(folder))).filter((name) => /\.(tgz|tar)$/.test(name))).toEqual([]);
    }
    const answer = await client().chat.completions.create(ask("안녕하세요"));
    expect(answer.choices[0]?.message.content).toContain("안녕하세요");
  });

  it("leaves no secret where it does not belong", { timeout: long }, async () => {
    const { stdout: state } = await pulumi(here, "stack", "export");
    const preview = await pulumi(here, "preview", "--diff");
    const places = new Map([
      ["state", state],
      ["outputs", (await pulumi(here, "stack", "output", "--json")).stdout],
      ["preview", said(preview)],
      ["processes", (await strays()).join("\n")],
    ]);
    for (const dir of ["Library/LaunchDaemons", "var/log/slm-network", "usr/local/slm-network"]) {
      for (const entry of await readdir(onMac(dir), { withFileTypes: true })) {
        if (entry.isFile()) places.set(`${dir}/${entry.name}`, await readFile(onMac(`${dir}/${entry.name}`), "utf8"));
      }
    }
    places.set("relay.json", await readFile(onMac("etc/slm-network/relay.json"), "utf8"));
    const ids = await identity();
    const secretFile = z.object({ mongodbUri: z.string() });
    const { mongodbUri } = secretFile.parse(JSON.parse(await readFile(onMac("etc/slm-network/secrets.json"), "utf8")));
    const secrets = {
      tunnelSecret: ids.tunnelSecret,
      connectorToken: await readFile(onMac("etc/slm-network/tunnel-token"), "utf8"),
      schemaPassword: String(ids.atlasSchemaPassword),
      relayPassword: String(ids.atlasRelayPassword),
      mongodbUri,
      clientSecret: tokenHeaders(here)["CF-Access-Client-Secret"]!,
    };
    for (const [place, text] of places) {
      for (const [name, secret] of Object.entries(secrets)) {
        for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]) {
          expect(text.includes(form), `${name} in ${place}`).toBe(false);
        }
      }
    }
    expect(places.size).toBeGreaterThan(9);
  });
});

describe("an upgrade", () => {
  it("is not noticed by OpenAI's client that calls all through it; what runs is finished", {
    timeout: long,
  }, async () => {
    const failures: string[] = [];
    let [calls, calling, longest] = [0, true, 0];
    const caller = async () => {
      const openai = client();
      while (calling) {
        calls++;
        await openai.chat.completions
          .create({ ...ask(`요청 ${calls}`), max_tokens: 8 })
          .catch((error: unknown) => failures.push(String(error)));
      }
    };
    // Without retries, to see how long nobody answers.
    const watcher = async () => {
      let since = performance.now();
      while (calling) {
        const answer = await fetch(`${here.url}/v1/models`, { headers: tokenHeaders(here) }).catch(() => undefined);
        await answer?.arrayBuffer();
        if (answer?.status === 200) since = performance.now();
        else longest = Math.max(longest, performance.now() - since);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    const working = [caller(), caller(), watcher()];
    const stream = await client().chat.completions.create({
      ...ask("긴 이야기를 들려주세요. ".repeat(400)),
      stream: true,
    });
    let finished: string | null | undefined;
    const reading = (async () => {
      for await (const chunk of stream) finished = chunk.choices[0]?.finish_reason ?? finished;
    })();
    await configure([["model", "timeouts"], { connect: 6 }]);
    await up("upgrade of the relay under load");
    calling = false;
    await Promise.all(working);
    await reading;
    timings["upgrade: longest time without a 200"] = `${longest.toFixed(0)} ms`;
    timings["upgrade: calls through OpenAI's client"] = `${calls}, ${failures.length} failures`;
    expect((await outputs()).macReport.restarted).toEqual(["local.slm-network.relay"]);
    expect(failures).toEqual([]);
    expect(finished).toBe("stop");
    expect(calls).toBeGreaterThan(10);
    expect(longest).toBeLessThan(10_000); // the goal is a second; a busy machine takes longer
    expect((await details()).outages).toEqual([]);
  });
});

describe("a power cut under load", () => {
  it("loses no acknowledged job, and after the boot everything serves without a hand", { timeout: long }, async () => {
    const acknowledged = new Map<string, string>();
    const stop = new AbortController();
    const headers = { ...tokenHeaders(here), "Content-Type": "application/json" };
    const post = (content: string, more: Record<string, string> = {}) =>
      fetch(`${here.url}/v1/chat/completions`, {
        method: "POST",
        headers: { ...headers, ...more },
        body: JSON.stringify(ask(content)),
        signal: stop.signal,
      });
    let n = 0;
    const jobs = async () => {
      while (!stop.signal.aborted) {
        const marker = `표식-${++n}-끝`;
        try {
          const response = await post(`${marker} ${"말 ".repeat(300)}`, { Prefer: "respond-async" });
          const body = (await response.json()) as { id: string };
          if (response.status === 202) acknowledged.set(body.id, marker);
        } catch {
          // the power is away, or the test has seen enough
        }
        await new Promise((resolve) => setTimeout(resolve, 400)); // each is asked for again at the end
      }
    };
    const direct = async () => {
      while (!stop.signal.aborted)
        await post("바로 답해 주세요").then(
          (response) => response.text(),
          () => "",
        );
    };
    const load = [jobs(), jobs(), direct(), direct()];
    await expect.poll(() => acknowledged.size, { timeout: 60_000 }).toBeGreaterThan(20);
    await new Promise((resolve) => setTimeout(resolve, 6_000)); // a heartbeat under load
    await tell("power-cut");
    stop.abort();
    await Promise.all(load);
    expect(await strays()).toEqual([]);

    const booting = tell("boot");
    const began = performance.now();
    const answered = async () => {
      const response = await fetch(`${here.url}/v1/chat/completions`, {
        method: "POST",
        headers,
        body: JSON.stringify(ask("돌아왔나요")),
        signal: AbortSignal.timeout(20_000),
      }).catch(() => undefined);
      return response?.status === 200 && (await response.text()).includes("돌아왔나요");
    };
    await expect.poll(answered, { timeout: 120_000, interval: 50 }).toBe(true);
    const seconds = (performance.now() - began) / 1000;
    timings["boot to the first answer"] = `${seconds.toFixed(1)} s`;
    await booting;
    expect(seconds).toBeLessThan(60); // the goal is ten; a busy machine takes longer

    for (const [id, marker] of acknowledged) {
      const view = await fetch(`${here.url}/v1/jobs/${id}`, { headers: { ...headers, Prefer: "wait=60" } });
      expect(await view.json(), id).toMatchObject({ state: "completed" });
      const result = await fetch(`${here.url}/v1/jobs/${id}/result`, { headers });
      expect(await result.text(), id).toContain(marker);
    }
    const { outages } = await details();
    expect(outages).toHaveLength(1);
    timings["jobs acknowledged before the cut"] =
      `${acknowledged.size}, none lost, ${outages[0]!.jobsRunAgain.length} run again`;
  });
});

describe("the removal", () => {
  it("of a Mac that is gone says what to do, and does it", { timeout: long }, async () => {
    await tell("power-cut");
    const refused = await pulumi(here, "destroy", "--yes", "--skip-preview");
    expect(refused.code).not.toBe(0);
    expect(said(refused)).toMatch(/the Mac at .* cannot be reached, so nothing can be removed from it/);
    expect(said(refused)).toMatch(/set macs\[\]\.skipRemoval to true/);
    // Another change waits for the Mac, with an upload: it must not keep anybody from giving the Mac up.
    await configure([["macs", 0, "skipRemoval"], true], [["limits", "chat"], 3], [["artifacts", "push"], false]);
    const given = await up("`pulumi up` that gives the Mac up, with the Mac away");
    expect(said(given)).toMatch(/nothing was changed on the Mac \(macs\[\]\.skipRemoval gives it up\)/);
    const ran = await pulumi(here, "destroy", "--yes", "--skip-preview");
    expect(ran.code, said(ran)).toBe(0);
    await tell("boot");
    await access(onMac("usr/local/slm-network/current")); // nothing was asked of it
  });

  it("removes the data on request, and leaves nothing", { timeout: long }, async () => {
    await configure([["macs", 0, "skipRemoval"], false], [["macs", 0, "removeData"], true]);
    await up("`pulumi up` of the whole network on a Mac that has it installed already");
    const ran = await timed("`pulumi destroy`", () => pulumi(here, "destroy", "--yes", "--skip-preview"));
    expect(ran.code, said(ran)).toBe(0);
    expect(await readdir(onMac("Library/LaunchDaemons"))).toEqual([`${modelServerLabel}.plist`]);
    for (const gone of ["usr/local/slm-network", "etc/slm-network", "var/log/slm-network", "var/db/slm-network"]) {
      await expect(access(onMac(gone)), gone).rejects.toThrow();
    }
    expect(await strays()).toEqual([]);
  });
});
