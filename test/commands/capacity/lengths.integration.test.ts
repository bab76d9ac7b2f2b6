/** Capacity's lengths from the relay's ledger: by the admin listener, and what is said without one. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { usualLengths } from "../../../commands/capacity/lengths.ts";
import { readOptions } from "../../../commands/capacity/options.ts";

/** An admin listener with this ledger. */
async function admin(status: number, body: unknown): Promise<string> {
  const server = createServer((request, response) => {
    expect(request.url).toMatch(/^\/usage\/lengths\?from=\d{4}-/);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ledger = { calls: 812, prompt: { p50: 640, p90: 3000 }, answer: { p50: 48, p90: 410 } };

async function lengths(args: readonly string[], usesStack = false) {
  const said: string[] = [];
  const shape = await usualLengths(readOptions(args), usesStack, (line) => said.push(line));
  return { ...shape, said: said.join("\n") };
}

it("takes the median question, and the median and the 90th percentile of the answers", async () => {
  expect(await lengths(["--admin", await admin(200, ledger)])).toMatchObject({
    promptTokens: 640,
    answers: [48, 410],
    calls: 812,
    said: expect.stringContaining("812 answers of the ledger"),
  });
});

it("leaves what was given on the command line as it was given, and asks nobody when all was", async () => {
  const url = await admin(200, ledger);
  expect(await lengths(["--admin", url, "--prompt", "77"])).toMatchObject({ promptTokens: 77, answers: [48, 410] });
  expect(await lengths(["--admin", url, "--answers", "9"])).toMatchObject({ promptTokens: 640, answers: [9] });
  const all = ["--admin", "http://127.0.0.1:1", "--prompt", "77", "--answers", "9"];
  expect(await lengths(all)).toEqual({ promptTokens: 77, answers: [9], calls: undefined, said: "" });
});

it.each([
  [200, null, /has 0 answers .* too few: defaults/],
  [200, { ...ledger, calls: 29 }, /has 29 answers .* too few: defaults/],
  [404, {}, /has no ledger yet\): defaults/],
  [503, {}, /it answers 503\): defaults/],
  [200, { hello: 1 }, /another answer than a ledger's\): defaults/],
])("takes the defaults, and says why, after %i %j", async (status, body, said) => {
  const found = await lengths(["--admin", await admin(status, body)]);
  expect(found).toMatchObject({ promptTokens: 200, answers: [32, 256], calls: undefined });
  expect(found.said).toMatch(said);
});

it("asks no ledger for another server than the stack's", async () => {
  expect(await lengths([])).toMatchObject({ promptTokens: 200, answers: [32, 256], said: "" });
});
