/** Malformed requests, seeded: a valid request of any route, with one to three things wrong with it. Pure. */
import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { DIALECTS } from "../../../runtime/relay/dialects/dialects.ts";
import { OWN_PATHS } from "../../../runtime/relay/openapi/own-paths.ts";
import type { Random } from "../../runtime/relay/drills/seed.ts";

/** What is written to one connection. */
export interface MalformedRequest {
  readonly bytes: Buffer;
  /** What is wrong, for a failure's message. */
  readonly faults: readonly string[];
  /** Writes the bytes in two parts, cut here. */
  readonly splitAt: number;
}

interface Draft {
  line: string;
  headers: [name: string, value: string][];
  body: Buffer;
  /** Sent as they are instead of the body: a chunked one. */
  framed: Buffer | undefined;
  lineEnd: string;
  /** Beyond the end of the request. */
  after: Buffer;
}

const KNOWN: readonly (readonly [method: string, path: string])[] = [
  ...Object.entries(OWN_PATHS).flatMap(([path, item]) =>
    ["get", "put", "post", "delete"]
      .filter((method) => method in item)
      .map((method) => [method.toUpperCase(), path] as const),
  ),
  ...DIALECTS.flatMap(({ routes }) =>
    routes.flatMap((route) =>
      route.kind === "model"
        ? [[route.method, route.name] as const]
        : route.methods.map((method) => [method, route.name] as const),
    ),
  ),
];

const ODD_VALUES = [
  "null",
  "true",
  "1e400",
  "-0",
  "9".repeat(400),
  '"\\ud800"',
  '"\\u0000"',
  '"\u0000"',
  "[]",
  "{}",
  `[${"[".repeat(600)}${"]".repeat(600)}]`,
  `"${"가".repeat(5000)}"`,
  '"../../../etc/passwd"',
  '"\\"; DROP TABLE jobs; --"',
  '{"$gt":""}',
  '{"__proto__":{"x":1}}',
  "NaN",
  "0x10",
  "'single'",
  "undefined",
];
const MEMBERS = [
  "model",
  "stream",
  "messages",
  "input",
  "prompt",
  "keep_alive",
  "options",
  "metadata",
  "background",
  "previous_response_id",
  "text",
  "chunks",
  "version",
  "company",
  "title",
  "titles",
  "query",
  "vector",
  "k",
  "rerank",
  "documents",
  "dimensions",
  "encoding_format",
  "max_tokens",
];
const PARAMETERS = ["company", "title", "version", "all", "include", "encoding", "limit", "after", "state", "x"];
const QUERY_VALUES = [
  "가",
  "%",
  "%00",
  "%ff",
  "%ed%a0%80",
  "..",
  "*",
  "-1",
  "1e9",
  "NaN",
  "true",
  "chunks,vectors",
  "",
  "'",
  "[]",
];
const ODD_HEADERS: readonly (readonly [name: string, values: readonly string[]])[] = [
  ["Content-Encoding", ["gzip", "zstd", "br", "gzip, gzip", "identity", "x".repeat(300)]],
  ["Content-Type", ["text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "\xff"]],
  ["Accept", ["text/event-stream", "*/*;q=9", ",".repeat(500)]],
  ["Accept-Encoding", ["gzip;q=0", "*"]],
  ["Expect", ["100-continue", "200-ok", ""]],
  ["Prefer", ["respond-async", "wait=1", 'respond-async, wait="', ",=;".repeat(400), "wait=99999999999999999999"]],
  ["Idempotency-Key", ["k", "\xea\xb0\x80", "", "a b", "k".repeat(300)]],
  ["Slm-Company", ["%EA%B0%80", "%", "%00", "a,b", "\xff\xfe", "%ED%A0%80"]],
  ["Slm-Document", ["%EA%B0%80", "%zz", "%00", "a".repeat(5000)]],
  ["If-None-Match", ["*", '"', 'W/"x", "y"'.repeat(50)]],
  ["Range", ["bytes=0-0,1-1", "bytes=-1", "lines=1"]],
  ["Connection", ["close, Cf-Access-Jwt-Assertion", "upgrade", "keep-alive, Slm-Company"]],
  ["Upgrade", ["websocket", "h2c"]],
  ["TE", ["trailers, chunked"]],
  ["Trailer", ["Content-Length"]],
  ["Host", ["", "x, y", "127.0.0.1:1", "\xff"]],
  ["Cookie", ["CF_Authorization=x", ";".repeat(2000)]],
  ["X-Request-Id", ["\x01", "x".repeat(500)]],
  ["Keep-Alive", ["timeout=999999"]],
  ["Cf-Ray", ["x-ICN", "-".repeat(300)]],
];

/** Makes requests with the token of a caller. */
export function malformedRequest(random: Random, token: string): MalformedRequest {
  const { pick, between } = random;
  const draft = valid(random, token);
  const faults = Array.from({ length: between(1, 3) }, () => {
    const [name, break_] = pick(FAULTS);
    break_(draft, random);
    return name;
  });
  const bytes = written(draft);
  return { bytes, faults, splitAt: between(0, 3) === 0 ? between(0, bytes.length) : bytes.length };
}

function valid({ pick, between }: Random, token: string): Draft {
  const [method, pattern] = pick(KNOWN);
  const path = pattern.replace(
    "{id}",
    pick([`job_${"0".repeat(32)}`, `resp_${"a".repeat(32)}`, "m", "가"].map(encodeURI)),
  );
  const title = encodeURIComponent(pick(["가", "계약서", "a b"]));
  const query = path.startsWith("/v1/documents") && between(0, 3) > 0 ? `?company=A&title=${title}` : "";
  const body = method === "GET" || method === "HEAD" || method === "DELETE" ? "" : JSON.stringify(bodyOf(path));
  return {
    line: `${method} ${path}${query} HTTP/1.1`,
    headers: [
      ["Host", "slm.example.com"],
      ["Cf-Access-Jwt-Assertion", token],
      ["Content-Type", "application/json"],
    ],
    body: Buffer.from(body),
    framed: undefined,
    lineEnd: "\r\n",
    after: Buffer.alloc(0),
  };
}

function bodyOf(path: string): object {
  if (path === "/v1/documents") return { text: "대금은 말일에 지급한다." };
  if (path === "/v1/documents/search") return { company: "A", title: "가", query: "대금", k: 3 };
  if (/embed/.test(path)) return { model: "e", input: ["하나", "둘"] };
  if (/rerank/.test(path)) return { model: "m", query: "대금", documents: ["하나"] };
  return { model: "m", messages: [{ role: "user", content: "안녕" }], max_tokens: 16 };
}

function written({ line, headers, body, framed, lineEnd, after }: Draft): Buffer {
  const isFramed = headers.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name.trim()));
  const all =
    isFramed || (body.length === 0 && framed === undefined)
      ? headers
      : [...headers, ["Content-Length", String(body.length)] as const];
  const head = all.map(([name, value]) => `${name}: ${value}${lineEnd}`).join("");
  return Buffer.concat([Buffer.from(`${line}${lineEnd}${head}${lineEnd}`, "latin1"), framed ?? body, after]);
}

const chunk = (bytes: Buffer, size = bytes.length.toString(16), extension = ""): Buffer =>
  Buffer.concat([Buffer.from(`${size}${extension}\r\n`), bytes, Buffer.from("\r\n")]);
const LAST = Buffer.from("0\r\n\r\n");

type Fault = readonly [name: string, apply: (draft: Draft, random: Random) => void];

const insert = (bytes: Buffer, at: number, what: string): Buffer =>
  Buffer.concat([bytes.subarray(0, at), Buffer.from(what, "latin1"), bytes.subarray(at)]);

/** A member of the body's object replaced or added, as text: so that it need not be JSON. */
function withMember(body: Buffer, name: string, value: string): Buffer {
  const text = body.toString("utf8");
  return Buffer.from(
    text.startsWith("{") && text.endsWith("}")
      ? `${text.slice(0, -1)},${JSON.stringify(name)}:${value}}`
      : `{${JSON.stringify(name)}:${value}}`,
  );
}

const FAULTS: readonly Fault[] = [
  // The request line
  [
    "another method",
    (d, { pick }) =>
      (d.line = d.line.replace(
        /^\S+/,
        pick(["PATCH", "OPTIONS", "TRACE", "get", "G\x00T", "", "POST POST", "X".repeat(3000)]),
      )),
  ],
  [
    "another version",
    (d, { pick }) =>
      (d.line = d.line.replace(
        /HTTP\/1\.1$/,
        pick(["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 x", "http/1.1", "", "ICY"]),
      )),
  ],
  [
    "a byte in the target",
    (d, { pick }) =>
      (d.line = d.line.replace(
        / HTTP/,
        `${pick(["\x00", "\t", " ", "\xff", "#x", "%", "%2f..%2f", "//", ";x=1", "\\"])} HTTP`,
      )),
  ],
  [
    "another target",
    (d, { pick }) =>
      (d.line = d.line.replace(
        / \S+ /,
        ` ${pick(["*", "http://x/v1/models", "v1", "//", "/..", "/%2e%2e/", `/${"a/".repeat(3000)}`, "/v1/models/../../x", "x:80"])} `,
      )),
  ],
  [
    "a query",
    (d, { pick, between }) => {
      const query = Array.from({ length: between(1, 6) }, () => `${pick(PARAMETERS)}=${pick(QUERY_VALUES)}`).join("&");
      d.line = d.line.replace(
        / HTTP/,
        `${d.line.includes("?") ? "&" : "?"}${query.replaceAll("가", "%EA%B0%80")} HTTP`,
      );
    },
  ],
  ["empty lines before", (d, { between }) => (d.line = "\r\n".repeat(between(1, 50)) + d.line)],
  [
    "bytes before",
    (d, { pick }) =>
      (d.line =
        pick(["\x16\x03\x01\x02\x00\x01", "\xef\xbb\xbf", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00"]) + d.line),
  ],
  ["bare line feeds", (d) => (d.lineEnd = "\n")],
  ["bare carriage returns", (d) => (d.lineEnd = "\r")],
  // Headers
  [
    "a header",
    (d, { pick }) => {
      const [name, values] = pick(ODD_HEADERS);
      d.headers.push([name, pick(values)]);
    },
  ],
  ["a header twice", (d, { pick }) => void d.headers.push(pick(d.headers))],
  ["a header less", (d, { between }) => void d.headers.splice(between(0, d.headers.length - 1), 1)],
  [
    "a header's odd name",
    (d, { pick }) =>
      void d.headers.push([pick(["", " X", "X ", "X\x00", "X:Y", "\xff", "__proto__", "X\r\n Y", "constructor"]), "1"]),
  ],
  [
    "a byte in a header",
    (d, { pick }) =>
      void d.headers.push(["X", `a${pick(["\x00", "\x01", "\x7f", "\xff", "\r", "\n", "\r\n b", "\n\tb"])}c`]),
  ],
  [
    "many headers",
    (d, { between }) =>
      d.headers.push(...Array.from({ length: between(100, 3000) }, (_, n) => [`X-${n}`, "1"] as [string, string])),
  ],
  ["a long header", (d, { between }) => void d.headers.push(["X", "y".repeat(between(10_000, 60_000))])],
  // Framing
  [
    "an odd length",
    (d, { pick }) =>
      void d.headers.push([
        "Content-Length",
        pick(["-1", "+5", "1e3", "0x10", "", "5,5", "5, 6", "99999999999999999999", "1152921504606846976", " 5 5"]),
      ]),
  ],
  [
    "a length too long",
    (d, { between }) => void d.headers.push(["Content-Length", String(d.body.length + between(1, 5000))]),
  ],
  ["a length too short", (d) => void d.headers.push(["Content-Length", String(Math.floor(d.body.length / 2))])],
  [
    "two lengths",
    (d) =>
      void d.headers.push(["Content-Length", String(d.body.length)], ["Content-Length", String(d.body.length + 1)]),
  ],
  [
    "length and chunks",
    (d) => {
      d.headers.push(["Content-Length", String(d.body.length)], ["Transfer-Encoding", "chunked"]);
      d.framed = Buffer.concat([chunk(d.body), LAST]);
    },
  ],
  [
    "an odd coding",
    (d, { pick }) =>
      void d.headers.push([
        "Transfer-Encoding",
        pick([
          "gzip",
          "chunked, chunked",
          "identity",
          "chunked;q=1",
          "\x0bchunked",
          "xchunked",
          "Chunked",
          "chunked\t",
        ]),
      ]),
  ],
  [
    "odd chunks",
    (d, { pick, between }) => {
      d.headers.push(["Transfer-Encoding", "chunked"]);
      const half = Math.floor(d.body.length / 2);
      const [one, two] = [d.body.subarray(0, half), d.body.subarray(half)];
      d.framed = pick([
        () => Buffer.concat([chunk(one), chunk(two), LAST]),
        () => Buffer.concat([chunk(one, "g"), LAST]),
        () => Buffer.concat([chunk(one, `-${one.length}`), LAST]),
        () => Buffer.concat([chunk(one, "ffffffffffffffffff"), LAST]),
        () => Buffer.concat([chunk(one, `0x${one.length.toString(16)}`), LAST]),
        () => Buffer.concat([chunk(one, undefined, `;${"a=b;".repeat(between(1, 9000))}`), chunk(two), LAST]),
        () => Buffer.concat([chunk(one, (one.length + 3).toString(16)), LAST]),
        () => Buffer.concat([chunk(one), Buffer.from("\n0\n\n")]),
        () => Buffer.concat([chunk(d.body), Buffer.from(`0\r\n${"X: y\r\n".repeat(between(1, 5000))}\r\n`)]),
        () => Buffer.concat([...[...d.body].map((_, at) => chunk(d.body.subarray(at, at + 1))), LAST]),
        () => Buffer.concat([chunk(d.body), Buffer.from("0")]),
      ])();
    },
  ],
  // Bodies
  [
    "a byte flipped",
    (d, { between }) => {
      if (d.body.length === 0) return;
      const body = Buffer.from(d.body);
      const at = between(0, body.length - 1);
      body[at] = between(0, 255);
      d.body = body;
    },
  ],
  [
    "bytes inserted",
    (d, { pick, between }) =>
      (d.body = insert(
        d.body,
        between(0, d.body.length),
        pick(["\x00", "\xff\xfe", "\\", '"', "{", "}", ",", "\xed\xa0\x80", "\xc0\xaf", "\x1f\x8b"]),
      )),
  ],
  ["cut", (d, { between }) => (d.body = d.body.subarray(0, between(0, d.body.length)))],
  ["a member", (d, { pick }) => (d.body = withMember(d.body, pick(MEMBERS), pick(ODD_VALUES)))],
  [
    "members twice",
    (d, { pick }) => {
      const name = pick(MEMBERS);
      d.body = withMember(withMember(d.body, name, pick(ODD_VALUES)), name.toUpperCase(), pick(ODD_VALUES));
    },
  ],
  ["deep", (d, { between, pick }) => (d.body = withMember(d.body, pick(MEMBERS), "[".repeat(between(400, 20_000))))],
  [
    "wide",
    (d, { between }) =>
      (d.body = Buffer.from(`{${Array.from({ length: between(1000, 20_000) }, (_, n) => `"k${n}":1`).join(",")}}`)),
  ],
  [
    "no object",
    (d, { pick }) => (d.body = Buffer.from(pick(["[]", "null", '"x"', "1", " ", "", "{}{}", "{}\0", "﻿{}", "{", "//"]))),
  ],
  ["a mark before", (d) => (d.body = Buffer.concat([Buffer.from("\ufeff"), d.body]))],
  ["UTF-16", (d) => (d.body = Buffer.from(`\ufeff${d.body.toString("utf8")}`, "utf16le"))],
  ["Latin-1", (d) => (d.body = Buffer.from(d.body.toString("utf8").replaceAll("안", "é"), "latin1"))],
  [
    "compressed",
    (d, { pick }) => {
      const [name, compress] = pick(COMPRESSIONS);
      d.headers.push(["Content-Encoding", name]);
      d.body = compress(d.body);
    },
  ],
  [
    "compressed and cut",
    (d, { between }) => {
      d.headers.push(["Content-Encoding", "gzip"]);
      const body = gzipSync(d.body);
      d.body = body.subarray(0, between(0, body.length));
    },
  ],
  [
    "a bomb",
    (d, { pick }) => {
      const [name, bomb] = pick(BOMBS);
      d.headers.push(["Content-Encoding", name]);
      d.body = bomb;
    },
  ],
  // More than one request
  ["a request behind", (d) => (d.after = written({ ...d, after: Buffer.alloc(0) }))],
  [
    "rubbish behind",
    (d, { pick }) =>
      (d.after = Buffer.from(
        pick(["\r\n\r\n", "x", "GET", "\x00\x00", "0\r\n\r\n", "GET /admin HTTP/1.1\r\n"]),
        "latin1",
      )),
  ],
];

const COMPRESSIONS: readonly (readonly [string, (body: Buffer) => Buffer])[] = [
  ["gzip", gzipSync],
  ["zstd", zstdCompressSync],
  ["gzip", deflateSync],
  ["gzip", deflateRawSync],
  ["zstd", gzipSync],
  ["br", gzipSync],
  ["gzip, gzip", (body) => gzipSync(gzipSync(body))],
];
const ZEROS = Buffer.concat([
  Buffer.from('{"model":"m","x":"'),
  Buffer.alloc(96 * 1024 * 1024, "a"),
  Buffer.from('"}'),
]);
/** 96 MiB each, in some kilobytes. */
const BOMBS: readonly (readonly [string, Buffer])[] = [
  ["gzip", gzipSync(ZEROS)],
  ["zstd", zstdCompressSync(ZEROS)],
];
