/**
 * Work on a caller's text grows no faster than the text. CPU time is measured, with a bound that noise does not reach and
 * quadratic work exceeds a hundred times at these lengths.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, it, test } from "vitest";
import { readHeaderName, readName } from "../../../../runtime/relay/access/names.ts";
import { estimateTokens } from "../../../../runtime/relay/admission/estimate.ts";
import { parseGoDuration } from "../../../../runtime/relay/dialects/keep-alive-check.ts";
import { OLLAMA } from "../../../../runtime/relay/dialects/ollama.ts";
import { OPENAI } from "../../../../runtime/relay/dialects/openai.ts";
import { assemble } from "../../../../runtime/relay/documents/assemble.ts";
import { readQuery } from "../../../../runtime/relay/documents/bodies.ts";
import { chunkText } from "../../../../runtime/relay/documents/chunker.ts";
import { entryColo, headersToModel } from "../../../../runtime/relay/http/header-filters.ts";
import { JsonScanner } from "../../../../runtime/relay/http/json-scanner.ts";
import { splitTarget } from "../../../../runtime/relay/http/router.ts";
import { idempotencyKey } from "../../../../runtime/relay/jobs/idempotency.ts";
import { parsePrefer } from "../../../../runtime/relay/jobs/prefer.ts";
import { agreed } from "../../../../runtime/relay/model/fallback.ts";
import { Meter } from "../../../../runtime/relay/usage/usage.ts";
import { modelCall, router } from "../dialects/model-call.ts";

/** Default length of a text in units; a header has 40 KiB at most. */
const LENGTH = 256 * 1024;
/** CPU seconds; linear work takes some milliseconds. */
const BOUND = 2;

/** CPU seconds of the work; it may throw. */
function cpuOf(work: () => unknown): number {
  const before = process.cpuUsage();
  try {
    work();
  } catch {
    // refusing is measured too
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

const fill = (part: string, length = LENGTH): string => part.repeat(Math.ceil(length / part.length)).slice(0, length);

/** Texts that provoke backtracking: an endless repetition, then a mismatch. */
const HARD = [
  ...[
    "a",
    " ",
    "1",
    ".",
    "-",
    "/",
    ",",
    ";",
    "=",
    '"',
    "\\",
    "%2F",
    "\t",
    "1.",
    "1m",
    "a.",
    "A",
    "가",
    "&",
    "?",
  ].flatMap((part) => [
    fill(part),
    `${fill(part)}!`,
    `"${fill(part)}`,
    `a=${fill(part)}\u0000`,
    `/v1/models/${fill(part)}\n`,
    `${fill(part, LENGTH / 2)}${fill("1", LENGTH / 2)}`,
    fill(`${part} `),
    fill(`-AB${part}`),
  ]),
];

const HEADER = "a header";
const RELAY = "the relay's own text or its config";

/** Every regular expression in `runtime/relay`, by file, and the input it is matched against. */
const EXPRESSIONS: Readonly<Record<string, readonly (readonly [literal: string, on: string])[]>> = {
  "access/keys.ts": [],
  "dialects/keep-alive-check.ts": [
    ["/^(?:(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:ns|us|\\u00b5s|\\u03bcs|ms|s|m|h))+$/u", "100 characters of a body"],
    ["/(\\d+(?:\\.\\d*)?|\\.\\d+)(ns|us|\\u00b5s|\\u03bcs|ms|s|m|h)/guy", "100 characters of a body"],
  ],
  "alerts/checks.ts": [
    ["/^\\s*LastRecommendedUpdatesAvailable = (\\d{1,3});/m", "1 MiB of what macOS prints"],
    ['/^\\s*"Display Name" = "?([\\w .-]{1,60})"?;/gm', "1 MiB of what macOS prints"],
  ],
  "tracing/answer-facts.ts": [
    ['/"id"\\s{0,9}:\\s{0,9}"([\\w.:-]{1,128})"/', "2 KiB of an answer"],
    ['/"model"\\s{0,9}:\\s{0,9}"([\\w.:/@-]{1,128})"/', "2 KiB of an answer or a body"],
    ['/"(?:finish_reason|stop_reason|done_reason)"\\s{0,9}:\\s{0,9}"(\\w{1,64})"/g', "2 KiB of an answer"],
  ],
  "http/body-rules.ts": [["/\\ufffd$/", "80 bytes of a body"]],
  "documents/api.ts": [["/^W\\//", HEADER]],
  "documents/serve-work.ts": [["/\\btext\\/event-stream\\b/", HEADER]],
  "documents/chunker.ts": [["/\\s/", "one character of a body"]],
  "documents/embedding-server.ts": [["/^\\d{1,4}$/", HEADER]],
  "documents/sqlite-schema.ts": [["/^(\\d+):/", RELAY]],
  "access/operators.ts": [
    ["/^[\\x21-\\x3f\\x41-\\x7e]+@[\\x21-\\x3f\\x41-\\x7e]+$/", "320 characters of a person's address"],
  ],
  "access/names.ts": [
    ["/\\p{M}{31}/u", "16,000 characters of a body or a header"],
    ["/\\p{Cc}/u", "16,000 characters of a body or a header"],
    ["/[\\x80-\\xff]/", HEADER],
  ],
  "http/header-filters.ts": [
    ["/^[\\x21-\\x7e]{1,128}$/", HEADER],
    ["/-([A-Z]{3})$/", HEADER],
  ],
  "jobs/api.ts": [["/[?&]stream=true(&|$)/", HEADER]],
  "jobs/prefer.ts": [
    ['/^\\s*([\\w!#$%&\'*+.^`|~-]+)\\s*(?:=\\s*"?([^";]*)"?)?/', HEADER],
    ["/^\\d{1,6}$/", HEADER],
  ],
  "jobs/idempotency.ts": [
    ['/^"(.*)"$/', HEADER],
    ["/^[\\x21-\\x7e]{1,255}$/", HEADER],
  ],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
  "jobs/views.ts": [["new RegExp(`^${prefix}_([0-9a-f]{32})$`)", "a job's name of at most 80 characters"]],
  "dialects/model-id.ts": [
    ["/[\\p{Cc}\\ufffd\\\\?#]|%[0-9a-f]{2}/iu", "1,024 characters of a path"],
    ["/^\\.+$/", "1,024 characters of a path"],
  ],
  "http/router.ts": [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: source text
    ['new RegExp(`^${name.replace("{id}", "([\\\\w-]{1,80})")}$`)', HEADER],
  ],
  "openapi/answers.ts": [
    ["/^job_[0-9a-f]{32}$/", RELAY],
    ["/^[0-9a-f]{64}$/", RELAY],
  ],
  "openapi/markdown.ts": [
    ["/\\n+$/", RELAY],
    ['/#\\/components\\/schemas\\/(\\w+)"/g', RELAY],
  ],
  "openapi/openapi.ts": [["/[^A-Za-z]+(.)?/g", RELAY]],
  "settings.ts": [
    ["/^\\./", RELAY],
    ["/\\/v1\\/*$/", RELAY],
    ["/\\/v1\\/*$/", RELAY],
  ],
  "status/assets.ts": [["/\\bgzip\\b/", HEADER]],
  "status/messages.ts": [["/\\{(\\w+)\\}/g", RELAY]],
  "status/page.ts": [["/[&<>\"']/g", RELAY]],
  "status/usage-answer.ts": [["/^\\d{1,15}$/", HEADER]],
  "usage/calendar.ts": [["/^(\\d{4})-(\\d{2})(?:-(\\d{2}))?$/", HEADER]],
  "usage/query.ts": [
    ["/^\\d{4}-\\d{2}-\\d{2}[Tt]\\d{2}:\\d{2}:\\d{2}(?:\\.\\d{1,9})?(?:[Zz]|[+-]\\d{2}:\\d{2})$/", HEADER],
    ["/ \\d{2}:\\d{2}$/", HEADER],
  ],
  "model/fallback.ts": [
    ["/(?:^|\\.)(?:api\\.openai\\.com|openai\\.azure\\.com)$/", RELAY],
    ["/(?:^|\\/)(?:gpt-5|o\\d)/", RELAY],
  ],
  "model/response-id.ts": [
    ['/"id"\\s{0,9}:\\s{0,9}"(resp[\\w-]{1,120})"/', "4,096 bytes of the model server's answer"],
  ],
  "model/upstream.ts": [
    ["/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/", RELAY],
  ],
  "usage/usage.ts": [
    ["/event-stream/i", "a header of the model server"],
    ["/ndjson/i", "a header of the model server"],
  ],
};

const FOLDER = join(import.meta.dirname, "../../../../runtime/relay");

/** The expressions in a source file, literals and calls of RegExp, in order. */
function expressionsIn(file: string): string[] {
  const source = ts.createSourceFile(file, readFileSync(join(FOLDER, file), "utf8"), ts.ScriptTarget.Latest, true);
  const all: string[] = [];
  const visit = (node: ts.Node): void => {
    const made = (ts.isNewExpression(node) || ts.isCallExpression(node)) && node.expression.getText() === "RegExp";
    if (ts.isRegularExpressionLiteral(node) || made) all.push(node.getText());
    ts.forEachChild(node, visit);
  };
  visit(source);
  return all;
}

describe("regular expressions", () => {
  test("are all listed here, with their inputs", () => {
    const found = globSync("**/*.ts", { cwd: FOLDER })
      .map((file) => [file.replaceAll("\\", "/"), expressionsIn(file)] as const)
      .filter(([, all]) => all.length > 0);
    const known = Object.entries(EXPRESSIONS).map(([file, all]) => [file, all.map(([literal]) => literal)] as const);
    const byFile = (all: readonly (readonly [string, readonly string[]])[]) =>
      Object.fromEntries(all.filter(([, expressions]) => expressions.length > 0));
    expect(byFile(found)).toEqual(byFile(known));
  }, 120_000);

  const literals = Object.values(EXPRESSIONS)
    .flat()
    .filter(([literal, on]) => on !== RELAY && literal.startsWith("/"));
  it.each(literals)("%s takes time linear in its text", (literal) => {
    const end = literal.lastIndexOf("/");
    const expression = new RegExp(literal.slice(1, end), literal.slice(end + 1));
    for (const text of HARD) {
      expect(
        cpuOf(() => (expression.global ? [...text.matchAll(expression)].length : expression.test(text))),
      ).toBeLessThan(BOUND);
    }
  });
});

describe("functions that read callers' text", () => {
  const caller = { name: "a", companies: ["*"] };
  const readers: Record<string, (text: string) => unknown> = {
    parseGoDuration,
    parsePrefer,
    idempotencyKey: (text) => idempotencyKey({ "idempotency-key": text }),
    entryColo: (text) => entryColo({ "cf-ray": text }),
    headersToModel: (text) => headersToModel({ "x-request-id": text, accept: text }, "id", OPENAI),
    readName: (text) => readName("title", text),
    "readName, marks": (text) => readName("title", fill("\u0301\u0327", text.length)),
    "readName, marks within the bound": (text) =>
      readName("title", fill("\u0301\u0327", Math.min(15_000, text.length))),
    readHeaderName: (text) => readHeaderName("Slm-Document", text),
    readQuery,
    "readQuery, many names": (text) => readQuery(fill("&all=true", text.length)),
    agreed: (text) => agreed(caller.companies, text, ["x"]),
    splitTarget,
    findRoute: (text) => router.find("GET", `/v1/models/${text}`),
    estimateTokens: (text) =>
      estimateTokens(
        modelCall("/v1/chat/completions"),
        Buffer.from(fill(`"max_tokens" : ${text.slice(0, 9)}`, text.length)),
      ),
    "Meter, answers in one piece": (text) => {
      const meter = new Meter({ ...OLLAMA.usage, at: "start_and_end" });
      meter.begin("text/event-stream");
      meter.feed(Buffer.from(fill('data:"eval_count"', text.length)));
      return meter.usage();
    },
    "Meter, answers byte by byte": (text) => {
      const meter = new Meter(OLLAMA.usage);
      meter.begin("application/x-ndjson");
      for (const byte of Buffer.from(text)) meter.feed(Buffer.of(byte));
      return meter.usage();
    },
  };
  it.each(Object.keys(readers))("%s takes linear time", (name) => {
    // The longest is four times the 60,000 digits that once blocked the relay.
    for (const text of name.startsWith("Meter") ? HARD.slice(0, 4) : HARD) {
      expect(cpuOf(() => readers[name]!(text))).toBeLessThan(BOUND);
    }
  });
});

describe("functions that read callers' bodies", () => {
  const MIB = 1024 * 1024;

  it.each(["\\\\", '\\"', "a", "가", "\\u0041", "}{", '","'])("the scanner, of a string of %s", (part) => {
    const body = Buffer.from(`{"a":"${fill(part, 2 * MIB).replace(/\\+$/, "")}"}`);
    expect(cpuOf(() => new JsonScanner(body, { wanted: new Set(["a"]) }).step(body.length))).toBeLessThan(BOUND);
  });

  it.each(["[", "[[],", '{"a":', '{"a":1},', "1", "1,", " ", '"a",', "-1e9,"])("the scanner, of %s", (part) => {
    const body = Buffer.from(`[${fill(part, 2 * MIB)}`);
    const scanner = new JsonScanner(body, { wanted: new Set(["a"]) });
    expect(
      cpuOf(() => {
        while (!scanner.step(1000));
      }),
    ).toBeLessThan(BOUND);
  });

  it.each(["가", "a b. ", ". ", ".,", "\n", "1. a", "é\u0301", "? ! "])("the chunker, of a text of %s", (part) => {
    expect(cpuOf(() => chunkText(fill(part, MIB), { characters: 1000, overlap: 120 }))).toBeLessThan(2 * BOUND);
  });

  it("counts the bytes of a document's texts once, not after each call of the model", async () => {
    const pieces = Array.from({ length: 3200 }, (_, i) => ({ hash: String(i), text: `글 ${i}` }));
    const identity = { name: "m", digest: "d" };
    const byteLength = Buffer.byteLength;
    let counted = 0;
    Buffer.byteLength = (...args) => {
      counted += 1;
      return byteLength(...args);
    };
    try {
      await assemble(
        {
          company: "A",
          model: "m",
          dimensions: undefined,
          normalize: true,
          pieces,
          prefix: "",
          have: undefined,
          identity,
          caller: { name: "a", clientId: "a", companies: ["*"], weight: 1, enabled: true },
          signal: AbortSignal.timeout(60_000),
          onProgress: () => {},
        },
        {
          embed: ({ inputs, onProgress }) => {
            for (let done = 32; done <= inputs.length; done += 32) onProgress(done, inputs.length, 8);
            return Promise.resolve({
              vectors: new Float32Array(inputs.length * 8),
              dimensions: 8,
              identity,
              tokens: 1,
            });
          },
          identity: () => Promise.resolve(identity),
          rerank: () => Promise.reject(new Error("not asked")),
          close: () => Promise.resolve(),
        },
      );
    } finally {
      Buffer.byteLength = byteLength;
    }
    expect(counted).toBeLessThan(4 * pieces.length);
  });
});
