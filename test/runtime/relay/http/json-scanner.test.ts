import { describe, expect, it, test } from "vitest";
import { foldKey, JsonFault, MAX_DEPTH, type Scan } from "../../../../runtime/relay/http/json-scan.ts";
import { JsonScanner, scanJson } from "../../../../runtime/relay/http/json-scanner.ts";

const WANTED = new Set(["model", "stream", "k"]);

/** Scans in slices of `most` bytes. */
function scan(bytes: Buffer, most = bytes.length, wanted: ReadonlySet<string> = WANTED): Scan {
  const scanner = new JsonScanner(bytes, { wanted });
  while (!scanner.step(Math.max(1, most)));
  return scanner.result;
}

function kindOf(bytes: Buffer, most?: number): string {
  try {
    return scan(bytes, most).kind;
  } catch (cause) {
    if (cause instanceof JsonFault) return cause.kind;
    throw cause;
  }
}

/** The result of `JSON.parse` for bytes that must be UTF-8. */
function kindByParse(bytes: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return "not_utf8";
  }
  try {
    const value = JSON.parse(text) as unknown;
    if (Array.isArray(value)) return "array";
    return typeof value === "object" && value !== null ? "object" : "other";
  } catch {
    return "not_json";
  }
}

/** A deterministic generator of numbers below `most`. */
function random(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % most;
  };
}

/** Mostly JSON, from difficult parts. */
function someJson(next: (most: number) => number, depth = 0): string {
  const space = () => ["", "", " ", "\n", "\t\r"][next(5)]!;
  const atoms = [
    "0",
    "-0",
    "12.5e-3",
    "1E+9",
    "true",
    "false",
    "null",
    '"가\\u0000\\ud800"',
    '"\\\\"',
    '"\\""',
    '"😀"',
    '""',
  ];
  const keys = ["model", "\\u006dodel", "MODEL", "stream", "k", "\u212a", "x", "", "mo\\\\del", "긴 이름", "modelx"];
  switch (depth > 4 ? 0 : next(4)) {
    case 1:
      return `[${space()}${Array.from({ length: next(4) }, () => someJson(next, depth + 1)).join(`${space()},`)}${space()}]`;
    case 2:
    case 3: {
      const members = Array.from(
        { length: next(4) },
        () => `${space()}"${keys[next(keys.length)]}"${space()}:${space()}${someJson(next, depth + 1)}${space()}`,
      );
      return `{${members.join(",")}${space()}}`;
    }
    default:
      return atoms[next(atoms.length)]!;
  }
}

/** Breaks bytes in at most one place. */
function broken(bytes: Buffer, next: (most: number) => number): Buffer {
  const at = next(bytes.length + 1);
  const byte = [...Buffer.from('{}[]",:\\u0-+.eE1tn \u0001'), 0x80, 0xff, 0xc0, 0xe0][next(24)]!;
  switch (next(4)) {
    case 0:
      return bytes;
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at + 1)]);
  }
}

describe("the scanner", () => {
  it("accepts and refuses exactly what JSON.parse does, in slices of any length", () => {
    const next = random(7);
    const seen = new Map<string, number>();
    for (let run = 0; run < 30_000; run += 1) {
      const bytes = broken(Buffer.from(someJson(next)), next);
      const expected = kindByParse(bytes);
      const most = 1 + next(9);
      for (const slice of [bytes.length, most]) {
        const found = kindOf(bytes, slice);
        // Broken in both ways, the first fault is reported.
        const fine = found === expected || (expected === "not_utf8" && found === "not_json");
        if (!fine) expect([slice, bytes.toString(), bytes.toString("hex"), found]).toEqual([slice, "", "", expected]);
      }
      seen.set(expected, (seen.get(expected) ?? 0) + 1);
    }
    // The fuzz reaches every outcome often enough to mean something.
    for (const kind of ["object", "array", "other", "not_json", "not_utf8"]) {
      expect(seen.get(kind) ?? 0).toBeGreaterThan(500);
    }
  });

  it("finds the wanted members where JSON.parse does", () => {
    const next = random(11);
    let members = 0;
    for (let run = 0; run < 20_000; run += 1) {
      const bytes = Buffer.from(someJson(next));
      const found = scan(bytes, 1 + next(9));
      if (found.kind !== "object") continue;
      const parsed = JSON.parse(bytes.toString()) as Record<string, unknown>;
      const wanted = Object.keys(parsed).filter((key) => WANTED.has(foldKey(key)));
      const last = new Map(found.members.map((member) => [member.key, member]));
      expect([...last.keys()].sort()).toEqual(wanted.sort());
      for (const [key, { start, end, keyStart }] of last) {
        expect(JSON.parse(bytes.toString("utf8", start, end))).toEqual(parsed[key]);
        expect(bytes[keyStart]).toBe(34);
        members += 1;
      }
    }
    expect(members).toBeGreaterThan(2000);
  });

  it("reports repeated members in order, and no nested ones", () => {
    const json = String.raw`{"model":"b\\","c":{"d":[{"model":1}]},"f\"":["k"],"Model":"\\\"h:","stream" : "}"}`;
    const { members, count } = scan(Buffer.from(json));
    expect(members.map(({ key, start, end }) => [key, json.slice(start, end)])).toEqual([
      ["model", String.raw`"b\\"`],
      ["Model", String.raw`"\\\"h:"`],
      ["stream", '"}"'],
    ]);
    expect(count).toBe(5);
  });

  test.each([
    "",
    " ",
    "\uFEFF{}",
    "{}{}",
    "[1,]",
    '{"a":1,}',
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "+1",
    "tru",
    '"\\x"',
    '"\t"',
  ])("refuses %j", (text) => expect(kindOf(Buffer.from(text))).toBe("not_json"));

  it("refuses too deep nesting and too many values before it reaches the end", () => {
    const deep = Buffer.from("[".repeat(MAX_DEPTH + 1));
    expect(kindOf(deep)).toBe("too_deep");
    expect(kindOf(Buffer.from("[".repeat(MAX_DEPTH) + "]".repeat(MAX_DEPTH)))).toBe("array");
    const many = Buffer.from(`[${"0,".repeat(1000)}`);
    const scanner = new JsonScanner(many, { wanted: WANTED, maxValues: 100 });
    expect(() => scanner.step(many.length)).toThrow(expect.objectContaining({ kind: "too_many_values" }));
    expect(scanner.at).toBeLessThan(220);
  });

  it("lets other work run while it scans a long text", async () => {
    const bytes = Buffer.from(JSON.stringify({ a: "가".repeat(3_000_000), model: "m" }));
    let turns = 0;
    let over = false;
    const count = () => {
      turns += 1;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const found = await scanJson(bytes, { wanted: WANTED });
    over = true;
    expect(found.members.map(({ key }) => key)).toEqual(["model"]);
    expect(turns).toBeGreaterThan(bytes.length / (128 * 1024) - 2);
  });

  it("ends the scan of a long text when nobody wants it any more", async () => {
    const end = new AbortController();
    const text = Buffer.from(JSON.stringify({ a: "x".repeat(8 * 1024 * 1024) }));
    const scanned = scanJson(text, { wanted: new Set(), signal: end.signal });
    end.abort(new Error("left"));
    await expect(scanned).rejects.toThrow("left");
  });

  it("uses constant memory", () => {
    const bytes = Buffer.from(`{"a":[${"[],{},".repeat(1_000_000)}0]}`);
    const before = process.memoryUsage().heapUsed;
    scan(bytes, 16 * 1024);
    // Parsed, it takes over 60 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(30e6);
  });
});
