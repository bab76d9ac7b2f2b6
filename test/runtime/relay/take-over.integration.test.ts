/** One relay follows another on the same port and files, as the installer has it done at an upgrade. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { openSqliteStore } from "../../../runtime/relay/documents/sqlite-store.ts";
import { freePorts, runRelay } from "./child.ts";
import { asServer, jwks, startModel, TEAM, temporaryFolder, testConfig } from "./harness.ts";

const offline = { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: "http://127.0.0.1:1" };
const main = join(import.meta.dirname, "../../../runtime/relay/main.ts");
const started = ({ msg }: Record<string, unknown>) => msg === "listening";
const status = (url: string) =>
  fetch(url).then(
    (answer) => answer.status,
    () => 0,
  );

async function prepare(modelUrl: string) {
  const folder = await temporaryFolder();
  // The keys of Access as a relay keeps them, so that none is fetched.
  const kept = { url: `https://${TEAM}/cdn-cgi/access/certs`, uat: Date.now(), jwks };
  await writeFile(join(folder, "jwks.json"), JSON.stringify(kept));
  const config = { ...testConfig(modelUrl, folder, { graceSeconds: 60 }), ...(await freePorts()) };
  return { folder, config, url: `http://127.0.0.1:${config.port}`, admin: `http://127.0.0.1:${config.adminPort}` };
}

test("the new one waits, the old one lets go and finishes what it has; jobs that ran are run again; and this is not an outage", async () => {
  const streams: (() => void)[] = [];
  const asked: string[] = [];
  let jobsAnswer = false;
  const model = await startModel(({ body, url }, res) => {
    if (url === "/api/chat") {
      res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
      streams.push(() => res.end("data: 2\n\n"));
      return;
    }
    asked.push(body.toString());
    if (jobsAnswer) res.writeHead(200, { "Content-Type": "application/json" }).end('{"done":true}');
  });
  const { folder, config, url, admin } = await prepare(model.url);
  const old = await runRelay(folder, config, offline);
  await old.line(started);
  const stream = await fetch(`${url}/api/chat`, { method: "POST", body: "{}", headers: asServer });
  const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
  await reader.read();
  const job = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body: '{"model":"m","messages":[]}',
    headers: { ...asServer, "Content-Type": "application/json", Prefer: "respond-async" },
  });
  expect(job.status).toBe(202);
  await expect.poll(() => asked.length, { timeout: 20_000 }).toBe(1);

  const { port: otherAdmin } = await freePorts();
  const args = ["--take-over", "--admin-port", String(otherAdmin)];
  const next = await runRelay(folder, config, offline, main, args);
  await expect.poll(() => status(`http://127.0.0.1:${otherAdmin}/healthz`), { timeout: 20_000 }).toBe(200);
  expect(await status(`http://127.0.0.1:${otherAdmin}/readyz`)).toBe(503); // it waits
  expect(await status(`${url}/readyz`)).toBe(200); // by the old one

  jobsAnswer = true;
  let [longest, since, asking] = [0, performance.now(), true];
  const poll = (async () => {
    while (asking) {
      if ((await status(`${url}/readyz`)) === 200) since = performance.now();
      else longest = Math.max(longest, performance.now() - since);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  old.child.kill("SIGUSR2");
  await next.line(started);
  await expect.poll(() => status(`http://127.0.0.1:${otherAdmin}/readyz`), { timeout: 20_000 }).toBe(200);
  asking = false;
  await poll;
  console.log(`hand-over of the relay: ${longest.toFixed(0)} ms without an answer`);
  expect(await status(`${admin}/healthz`)).toBe(0); // the old one has let go of everything

  // The old one's request goes on while the new one serves.
  streams[0]!();
  expect((await reader.read()).value).toBe("data: 2\n\n");
  expect((await reader.read()).done).toBe(true);
  expect(await old.exit).toBe(0);

  const { id } = (await job.json()) as { id: string };
  await expect
    .poll(async () => (await (await fetch(`${url}/v1/jobs/${id}`, { headers: asServer })).json()) as unknown, {
      timeout: 30_000,
    })
    .toMatchObject({ state: "completed" });
  expect(asked).toHaveLength(2);
  const details = (await (await fetch(`http://127.0.0.1:${otherAdmin}/details`)).json()) as { outages: unknown[] };
  expect(details.outages).toEqual([]);
}, 300_000);

test("one that still waits ends at once when it is stopped, and leaves the other alone", async () => {
  const { folder, config, url } = await prepare("http://127.0.0.1:1");
  const old = await runRelay(folder, config, offline);
  await old.line(started);
  const { port } = await freePorts();
  const next = await runRelay(folder, config, offline, main, ["--take-over", "--admin-port", String(port)]);
  await next.line(({ msg }) => String(msg).startsWith("waiting: ") && String(msg).includes("another process holds it"));
  next.child.kill("SIGTERM");
  expect(await next.exit).toBe(0);
  expect(await status(`${url}/readyz`)).toBe(200);
}, 300_000);

test("after kill -9 the outage is there: from when to when, what was cut, what is run again; a stop is none", async () => {
  const model = await startModel(() => {}); // answers nothing: what is asked runs
  const { folder, config, url, admin } = await prepare(model.url);
  const first = await runRelay(folder, config, offline);
  await first.line(started);
  const send = (headers: Record<string, string>) =>
    fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      body: '{"model":"m","messages":[]}',
      headers: { ...asServer, "Content-Type": "application/json", ...headers },
    });
  const { id } = (await (await send({ Prefer: "respond-async" })).json()) as { id: string };
  const direct = send({}).catch(() => "cut");
  await expect.poll(() => model.seen.length, { timeout: 20_000 }).toBe(2);
  await new Promise((resolve) => setTimeout(resolve, 5_500)); // the next heartbeat sees both
  first.child.kill("SIGKILL");
  await first.exit;
  expect(await direct).toBe("cut");

  const details = async () =>
    (await (await fetch(`${admin}/details`)).json()) as { outages: Record<string, unknown>[] };
  const second = await runRelay(folder, config, offline);
  await second.line(started);
  const [outage, ...none] = (await details()).outages;
  expect(none).toEqual([]);
  expect(outage).toMatchObject({ what: "relay", requestsCut: 1, jobsRunAgain: [id], jobsFailed: [], everySeconds: 5 });
  expect(Date.parse(String(outage!.to))).toBeGreaterThanOrEqual(Date.parse(String(outage!.from)));
  expect(await (await fetch(`${admin}/metrics`)).text()).toContain('slm_outages{what="relay"} 1');

  second.child.kill("SIGTERM");
  expect(await second.exit).toBe(0);
  const third = await runRelay(folder, config, offline);
  await third.line(started);
  expect((await details()).outages).toHaveLength(1); // the stop is none
}, 300_000);

test("a documents' file of a newer release is refused and left as it is", async () => {
  const file = join(await temporaryFolder(), "documents.sqlite");
  await (await openSqliteStore(file)).close();
  const db = new DatabaseSync(file);
  db.exec("PRAGMA user_version = 99; CREATE TABLE of_the_future (a);");
  db.close();
  await expect(openSqliteStore(file)).rejects.toThrow(
    /tables of version 99, and this relay knows 1.*Install that one again/s,
  );
  const again = new DatabaseSync(file);
  expect(again.prepare("SELECT count(*) AS n FROM of_the_future").get()).toEqual({ n: 0 });
  again.close();
});
