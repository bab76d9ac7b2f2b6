/**
 * Requests that two servers in a row may read differently, through the edge and the real cloudflared to the relay: nobody's
 * request is cut in two, and nobody gets another's answer. The edge is an emulator whose HTTP parser is Node's; cloudflared's
 * and the relay's are the real ones. Straight to the relay: `admission/limits.integration.test.ts`, `hostile/requests…`.
 */
import { expect, test } from "vitest";
import { raw, startModel } from "../harness.ts";
import { TOKEN_HEADERS, throughTunnel } from "../through-tunnel.ts";

const TOKEN = Object.entries(TOKEN_HEADERS)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("");
const POST = `POST /v1/chat/completions HTTP/1.1\r\nHost: slm.example.com\r\n${TOKEN}Content-Type: application/json\r\n`;
const HIDDEN = `POST /v1/completions HTTP/1.1\r\nHost: slm.example.com\r\nContent-Length: 22\r\n\r\n{"model":"smuggled!!"}`;
const BODY = '{"model":"m","n":1}';

const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

const ATTACKS: readonly (readonly [name: string, text: string])[] = [
  [
    "length and chunks, the length shorter",
    `${POST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${HIDDEN}`,
  ],
  [
    "length and chunks, the length longer",
    `${POST}Transfer-Encoding: chunked\r\nContent-Length: ${5 + HIDDEN.length}\r\n\r\n0\r\n\r\n${HIDDEN}`,
  ],
  [
    "two lengths",
    `${POST}Content-Length: ${BODY.length}\r\nContent-Length: ${BODY.length + HIDDEN.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  [
    "two lengths in one header",
    `${POST}Content-Length: ${BODY.length}, ${BODY.length + HIDDEN.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  [
    "a coding that hides",
    `${POST}Transfer-Encoding: xchunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  [
    "two codings",
    `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n${chunked(BODY)}0\r\n\r\n${HIDDEN}`,
  ],
  [
    "a coding with a tab",
    `${POST}Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n${chunked(BODY)}0\r\n\r\n${HIDDEN}`,
  ],
  [
    "a coding with a vertical tab",
    `${POST}Transfer-Encoding: \x0bchunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  [
    "a space before the colon",
    `${POST}Transfer-Encoding : chunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  [
    "a folded coding",
    `${POST}Transfer-Encoding:\r\n chunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  ["a folded header", `${POST}X: a\r\n Content-Length: 0\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`],
  ["bare line feeds in the head", `${POST.replaceAll("\r\n", "\n")}Content-Length: ${BODY.length}\n\n${BODY}${HIDDEN}`],
  [
    "a bare line feed in a header",
    `${POST}X: a\nTransfer-Encoding: chunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  ],
  [
    "a bare carriage return in a header",
    `${POST}X: a\rTransfer-Encoding: chunked\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  ],
  [
    "a request in a chunk's extension",
    `${POST}Transfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)};x="\r\n${BODY}\r\n0\r\n\r\n${HIDDEN}`,
  ],
  ["a chunk longer than it says", `${POST}Transfer-Encoding: chunked\r\n\r\n5\r\n${BODY}\r\n0\r\n\r\n${HIDDEN}`],
  [
    "a chunk size of many digits",
    `${POST}Transfer-Encoding: chunked\r\n\r\n${"0".repeat(40)}13\r\n${BODY}\r\n0\r\n\r\n${HIDDEN}`,
  ],
  [
    "a length in a trailer",
    `${POST}Transfer-Encoding: chunked\r\n\r\n${chunked(BODY)}0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${HIDDEN}`,
  ],
  [
    "a body on a GET",
    `GET /v1/models HTTP/1.1\r\nHost: slm.example.com\r\n${TOKEN}Content-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
  ],
  [
    "an upgrade that never comes",
    `${POST}Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`,
  ],
  ["an expectation", `${POST}Expect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`],
  [
    "a length that Connection takes off",
    `${POST}Connection: Content-Length, close\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  ],
  ["a pipelined request without a token", `${POST}Content-Length: ${BODY.length}\r\n\r\n${BODY}${HIDDEN}`],
];

test("nothing smuggled reaches the model server, and the next caller gets its own answer", {
  timeout: 120_000,
}, async () => {
  const model = await startModel(
    ({ body }, res) => void res.writeHead(200, { "Content-Type": "application/json" }).end(body),
  );
  const { edge } = await throughTunnel(model.url);
  const { port } = new URL(edge.url);
  const findings: string[] = [];
  for (const [index, [name, text]] of ATTACKS.entries()) {
    model.seen.length = 0;
    const attack = raw(Number(port), text, /^HTTP\/1\.1 (?!100)\d+[\s\S]*\r\n\r\n/, 10_000);
    // Others call meanwhile, over the same connections of cloudflared.
    const calls = await Promise.all(
      Array.from({ length: 4 }, async (_, n) => {
        const mine = JSON.stringify({ model: "m", mine: `${index}-${n}` });
        const response = await fetch(`${edge.url}/v1/chat/completions`, {
          method: "POST",
          headers: TOKEN_HEADERS,
          body: mine,
        });
        const got = await response.text();
        return got === mine ? [] : [`${name}: a caller got ${response.status} ${got.slice(0, 200)}`];
      }),
    );
    await attack.catch(() => "");
    findings.push(...calls.flat());
    for (const { url, body } of model.seen) {
      if (url !== "/v1/chat/completions" && url !== "/v1/models") findings.push(`${name}: the model server got ${url}`);
      if (body.includes("smuggled")) findings.push(`${name}: the model server got the smuggled body`);
    }
  }
  expect(findings).toEqual([]);
});

test("headers that a caller sets for those behind the edge, or takes off by Connection, give it no other rights", async () => {
  const model = await startModel();
  const { edge } = await throughTunnel(model.url);
  const ask = async (headers: string, token = TOKEN) => {
    const { port } = new URL(edge.url);
    const answer = await raw(
      Number(port),
      `GET /v1/jobs HTTP/1.1\r\nHost: slm.example.com\r\nConnection: close\r\n${token}${headers}\r\n`,
    );
    return Number(answer.split(" ")[1]);
  };
  expect(await ask("")).toBe(200);
  // The token that Access adds is not the caller's to remove or to set.
  expect([200, 403]).toContain(await ask("Connection: Cf-Access-Jwt-Assertion\r\n"));
  for (const forged of [
    "Cf-Access-Jwt-Assertion: x\r\n",
    "Cookie: CF_Authorization=x\r\n",
    "Cf-Access-Authenticated-User-Email: a@b.c\r\n",
  ]) {
    expect(await ask(forged)).toBe(200);
    expect([302, 403]).toContain(await ask(forged, ""));
  }
  expect(model.seen).toEqual([]);
});

test("a title of 2,000 Korean characters in the query is refused by the relay's own rule, also behind the edge", async () => {
  const model = await startModel();
  const { edge } = await throughTunnel(model.url);
  const title = encodeURIComponent("계".repeat(2000));
  const response = await fetch(`${edge.url}/v1/documents?company=A&title=${title}`, { headers: TOKEN_HEADERS });
  expect([response.status, ((await response.json()) as { error: { code: string } }).error.code]).toEqual([
    400,
    "document_name_invalid",
  ]);
});
