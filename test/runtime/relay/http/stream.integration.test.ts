import { once } from "node:events";
import { createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { asServer, codeOf, portOf, post, startModel, startTestRelay, testConfig } from "../harness.ts";

const decoder = new TextDecoder();

test.each([
  ["Korean text", Buffer.from(JSON.stringify({ model: "m", prompt: "계약서를 요약해 주세요. 🙂" }))],
  ["odd white space and escapes", Buffer.from(' {\n\t"model" : "m",\r\n "x": 1.0e2, "y":"\\u00e9\\/" } \n')],
  ["5 MB", Buffer.from(JSON.stringify({ model: "m", prompt: "가나다".repeat(580_000) }))],
])("a body of %s reaches the model, and its answer the caller, byte for byte", async (_name, body) => {
  const model = await startModel();
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/api/generate", body);
  expect(response.status).toBe(200);
  expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  expect(model.seen[0]!.body.equals(body)).toBe(true);
  expect(model.seen[0]!.headers["content-length"]).toBe(String(body.length));
});

test.each([
  ["SSE", "text/event-stream", (n: number) => `data: {"n":${n}}\n\n`],
  ["NDJSON", "application/x-ndjson", (n: number) => `{"n":${n}}\n`],
])("%s: headers and each event arrive before the model writes the next", async (_name, type, event) => {
  let write: (text: string) => void = () => {};
  let end = () => {};
  const model = await startModel((_seen, res) => {
    res.writeHead(200, { "Content-Type": type }).flushHeaders();
    write = (text) => res.write(text);
    end = () => res.end();
  });
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/v1/chat/completions", { stream: true });
  expect(response.headers.get("content-type")).toBe(type); // the headers came alone
  const reader = response.body!.getReader();
  for (let n = 1; n <= 5; n += 1) {
    write(event(n));
    expect(decoder.decode((await reader.read()).value)).toBe(event(n));
  }
  end();
  expect((await reader.read()).done).toBe(true);
});

test("the model server's connection closes within 1 s when the caller disconnects, before and within an answer", async () => {
  for (const begin of [false, true]) {
    const gone = Promise.withResolvers<number>();
    const model = await startModel((_seen, res) => {
      res.on("close", () => gone.resolve(performance.now()));
      if (begin) res.writeHead(200, { "Content-Type": "text/event-stream" }).write("data: 1\n\n");
      else abort.abort();
    });
    const relay = await startTestRelay(model.url);
    const abort = new AbortController();
    let leftAt = performance.now();
    const asking = post(relay, "/api/chat", { model: "m" }, { signal: abort.signal });
    if (begin) {
      await (await asking).body!.getReader().read();
      leftAt = performance.now();
      abort.abort();
    } else await expect(asking).rejects.toThrow("aborted");
    expect((await gone.promise) - leftAt).toBeLessThan(1000);
    await expect
      .poll(() => relay.lines.find(({ msg }) => msg === "request"))
      .toMatchObject({
        aborted: true,
        status: begin ? 200 : 499,
      });
    const metrics = await (await fetch(`${relay.admin}/metrics`)).text();
    expect(metrics).toContain('slm_client_aborts_total{route="/api/chat",caller="backend"} 1');
    expect(metrics).not.toContain("slm_upstream_errors_total{");
  }
});

test("an answer that the model server cuts never looks complete", async () => {
  for (const head of ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 100\r\n\r\nhello"]) {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${head}`);
        setImmediate(() => setImmediate(() => socket.destroy()));
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const relay = await startTestRelay(`http://127.0.0.1:${portOf(server)}`);
    await expect(post(relay, "/api/chat", {}).then((response) => response.text())).rejects.toThrow(/terminated|failed/);
    await expect
      .poll(() => relay.lines.find(({ msg }) => msg === "request"))
      .toMatchObject({
        code: "model_broke_off",
      });
    const details = (await (await fetch(`${relay.admin}/details`)).json()) as { tally: object };
    expect(details.tally).toMatchObject({ upstreamErrors: 1, clientAborts: 0, inFlight: 0 });
  }
});

test("a model server that breaks off before it answers gives 502", async () => {
  const model = await startModel((_seen, _res, req) => req.socket.destroy());
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/api/chat", {});
  expect([response.status, await codeOf(response)]).toEqual([502, "model_broke_off"]);
});

test("an unreachable model server gives 502, without its address", async () => {
  const model = await startModel();
  await model.close();
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/api/chat", {});
  const text = await response.text();
  expect(response.status).toBe(502);
  expect(text).toContain("model_unreachable");
  expect(text).not.toMatch(/127\.0\.0\.1|ECONN/);
  expect(JSON.stringify(relay.lines)).toContain("ECONNREFUSED"); // the log has it
});

test("errors of the model server pass through with their bodies", async () => {
  const model = await startModel((_seen, res) => {
    res.writeHead(404, { "Content-Type": "application/json", "Retry-After": "7" }).end('{"error":"model not found"}');
  });
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/api/chat", {});
  expect(response.status).toBe(404);
  expect(response.headers.get("retry-after")).toBe("7");
  expect(await response.text()).toBe('{"error":"model not found"}');
});

test("as many requests as there are slots run at once and get their own answers", async () => {
  const waiting: (() => void)[] = [];
  const model = await startModel(({ body }, res) => {
    waiting.push(() => res.end(body));
    if (waiting.length === 50) for (const answer of waiting) answer();
  });
  const limits = { ...testConfig(model.url, "").limits, embeddings: 50 };
  const relay = await startTestRelay(model.url, { limits });
  const bodies = Array.from({ length: 50 }, (_, n) => JSON.stringify({ n }));
  const answers = await Promise.all(bodies.map(async (body) => (await post(relay, "/api/embed", body)).text()));
  expect(answers).toEqual(bodies);
});

test("a slow caller slows the model server down: the relay's buffer is bounded", async () => {
  const total = 256 * 1024 * 1024;
  let sent = 0;
  const stalled = Promise.withResolvers<void>();
  const model = await startModel((_seen, res) => {
    const chunk = Buffer.alloc(1024 * 1024);
    const more = () => {
      while (sent < total) {
        sent += chunk.length;
        if (!res.write(chunk)) {
          const timer = setTimeout(stalled.resolve, 300); // no drain in this time: it stalls
          res.once("drain", () => {
            clearTimeout(timer);
            more();
          });
          return;
        }
      }
      res.end();
    };
    more();
  });
  const relay = await startTestRelay(model.url);
  const response = await post(relay, "/api/chat", {});
  await stalled.promise;
  expect(sent).toBeLessThan(128 * 1024 * 1024);
  let got = 0;
  for await (const chunk of response.body!) got += chunk.length;
  expect(got).toBe(total);
});

test("HEAD returns the headers only; the model server is asked with GET", async () => {
  const model = await startModel((_seen, res) => res.writeHead(200, { "Content-Length": "12" }).end("x".repeat(12)));
  const relay = await startTestRelay(model.url);
  const response = await fetch(`${relay.url}/api/version?a=%2F`, { method: "HEAD", headers: asServer });
  expect([response.status, response.headers.get("content-length"), await response.text()]).toEqual([200, "12", ""]);
  expect(model.seen[0]).toMatchObject({ method: "GET", url: "/api/version?a=%2F" });
});
