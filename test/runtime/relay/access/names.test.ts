import { describe, expect, it, test } from "vitest";
import {
  checkCompany,
  companiesOf,
  normalizeName,
  readHeaderName,
  readName,
} from "../../../../runtime/relay/access/names.ts";

/** What a refusal says; throws if there is none. */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (cause) {
    const { code, message } = cause as { code: string; message: string };
    return `${code}: ${message}`;
  }
  throw new Error("it was accepted");
}

describe("a name", () => {
  it.each([
    ["가나 상사", "가나 상사"],
    ["  가나\t\n", "가나"],
    ["가나".normalize("NFD"), "가나"],
    ["Case Counts", "Case Counts"],
    ["💡", "💡"],
    [`a${"\u0301".repeat(30)}`, `a${"\u0301".repeat(30)}`.normalize("NFC")],
  ])("%j is %j", (raw, name) => {
    expect(readName("title", raw)).toBe(name);
    expect(normalizeName(raw)).toBe(name);
  });

  it.each([
    [undefined, "is missing"],
    [null, "is missing"],
    [1, "is missing"],
    [["가"], "is missing"],
    ["", "is empty"],
    [" \t ", "is empty"],
    ["a\nb", "contains a control character"],
    ["a\u0000", "contains a control character"],
    ["\u009f", "contains a control character"],
    ["\ud800", "half a character"],
    [`a${"\u0301".repeat(31)}`, "more than 30 combining marks"],
  ])("%j is refused: %s", (raw, why) => {
    expect(refusal(() => readName("company", raw))).toMatch(/^document_name_invalid: The company /);
    expect(refusal(() => readName("company", raw))).toContain(why);
    expect(refusal(() => readName("title", raw))).toContain(why);
  });

  it.each([
    ["company", 200],
    ["title", 2000],
  ] as const)("of a %s has at most %i characters, counted as people do", (what, most) => {
    expect(readName(what, "a".repeat(most))).toHaveLength(most);
    expect(refusal(() => readName(what, "a".repeat(most + 1)))).toContain(
      `has ${most + 1} characters; at most ${most}`,
    );
    // Two UTF-16 units each, and spaces that are cut off.
    expect([...readName(what, ` ${"😀".repeat(Math.min(most, 1000))} `)]).toHaveLength(Math.min(most, 1000));
    // Not even normalized.
    expect(refusal(() => readName(what, "a".repeat(most * 8 + 1)))).toContain(`is longer than ${most} characters`);
    expect(refusal(() => readName(what, "a".repeat(most * 8)))).toContain(`has ${most * 8} characters`);
  });

  it("may have any number of spaces around it", () => {
    expect(readName("company", `${" ".repeat(2000)}a${" ".repeat(2000)}`)).toBe("a");
  });

  it("of a title has at most 4,000 bytes; of a company only its characters count", () => {
    expect(readName("title", "가".repeat(1333))).toHaveLength(1333);
    expect(readName("title", `${"가".repeat(1333)}a`)).toHaveLength(1334);
    expect(refusal(() => readName("title", "가".repeat(1334)))).toContain("has 4002 bytes in UTF-8; at most 4000");
    expect(refusal(() => readName("title", `${"가".repeat(1333)}aa`))).toContain("has 4001 bytes");
    expect(readName("company", "가".repeat(200))).toHaveLength(200);
  });
});

describe("a name in a header", () => {
  const latin1 = (text: string) => Buffer.from(text).toString("latin1");

  it.each([
    ["Slm-Company", encodeURIComponent("가나 상사"), "가나 상사"],
    ["Slm-Document", encodeURIComponent("계약서 (1).pdf"), "계약서 (1).pdf"],
    ["X-Slm-Company", latin1("국민"), "국민"],
    ["Slm-Company", `${latin1("국")}%EB%AF%BC`, "국민"],
    ["Slm-Company", "plain", "plain"],
    ["Slm-Company", "a+b", "a+b"],
  ] as const)("%s: %j is %j", (header, value, name) => {
    expect(readHeaderName(header, value)).toBe(name);
  });

  it.each([
    ["%", "is not percent-encoded UTF-8"],
    ["%E0%A4%A", "is not percent-encoded UTF-8"],
    ["%ff", "is not percent-encoded UTF-8"],
    ["\xb0\xa1", "is neither percent-encoded nor UTF-8"],
    ["\xff", "is neither percent-encoded nor UTF-8"],
    ["%00", "contains a control character"],
    ["", "is empty"],
  ])("%j is refused: %s", (value, why) => {
    const said = refusal(() => readHeaderName("Slm-Document", value));
    expect(said).toMatch(/^document_name_invalid: /);
    expect(said).toContain(why);
  });

  it("is shown in the refusal, shortened, with how to encode it", () => {
    const said = refusal(() => readHeaderName("Slm-Document", `%${"x".repeat(500)}`));
    expect(said).toContain(`The header Slm-Document, "%${"x".repeat(79)}", is not`);
    expect(said).toContain("encodeURIComponent");
  });

  it("has the limits of what it names", () => {
    expect(refusal(() => readHeaderName("Slm-Company", "a".repeat(201)))).toContain("The company has 201 characters");
    expect(refusal(() => readHeaderName("X-Slm-Company", "a".repeat(201)))).toContain("The company has 201 characters");
    expect(readHeaderName("Slm-Document", "a".repeat(201))).toHaveLength(201);
  });
});

describe("a caller's companies", () => {
  test("are all, or normalized ones", () => {
    expect(companiesOf({ companies: ["*"] })).toBe("all");
    expect(companiesOf({ companies: ["가", "*"] })).toBe("all");
    expect(companiesOf({ companies: [" 가나 ".normalize("NFD"), "B"] })).toEqual(["가나", "B"]);
    expect(companiesOf({ companies: [] })).toEqual([]);
  });

  test("are the only ones it may name", () => {
    const caller = { name: "backend", companies: ["가나", "B"] };
    expect(() => checkCompany(caller, "가나")).not.toThrow();
    expect(() => checkCompany({ ...caller, companies: ["*"] }, "any")).not.toThrow();
    for (const other of ["가", "가나 ", "b", "*", ""]) {
      expect(refusal(() => checkCompany(caller, other))).toBe(
        `company_not_allowed: The caller "backend" is not bound to the company ${JSON.stringify(other)}. Use one of its companies, or add it to the caller's in access.servers.`,
      );
    }
  });
});
