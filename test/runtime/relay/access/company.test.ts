/** The company of a request, by its headers as Node gives them. */
import type { IncomingMessage } from "node:http";
import { expect, it } from "vitest";
import { companyOf } from "../../../../runtime/relay/access/company.ts";

const caller = { name: "backend", companies: ["acme", "가나"] };

/** A request with these headers, each with its values in order. */
const request = (values: Record<string, string[]>) =>
  ({
    headers: Object.fromEntries(Object.entries(values).map(([name, all]) => [name, all.join(", ")])),
    headersDistinct: values,
  }) as unknown as IncomingMessage;

it.each([
  ["is undefined without the header", {}, undefined],
  ["is the header's", { "slm-company": ["acme"] }, "acme"],
  ["is that of the older name", { "x-slm-company": ["acme"] }, "acme"],
  ["is normalized", { "slm-company": [encodeURIComponent(` ${"가나".normalize("NFD")} `)] }, "가나"],
  ["may be named twice alike", { "slm-company": ["acme", "%61cme"], "x-slm-company": ["acme"] }, "acme"],
])("a request's company %s", (_name, values, company) => {
  expect(companyOf(request(values), caller)).toBe(company);
});

it.each([
  ["empty", { "slm-company": [""] }, /The company is empty/],
  ["not percent-encoded UTF-8", { "x-slm-company": ["%E0%A4"] }, /The header X-Slm-Company, "%E0%A4"/],
  ["two in one header", { "slm-company": ["a", "b"] }, /name "a" and "b"\. Send one of them, once\.$/],
  ["two by both names", { "slm-company": ["가"], "x-slm-company": ["나", "acme"] }, /name "가" and "나" and "acme"\./],
])("a company that is %s is refused; with a document's title as a part of its name", (_name, values, message) => {
  const refusal = (code: string) =>
    expect.objectContaining({ code, message: expect.stringMatching(message) as string });
  expect(() => companyOf(request(values), { ...caller, companies: ["*"] })).toThrow(refusal("company_invalid"));
  const titled = request({ ...values, "slm-document": ["t"] });
  expect(() => companyOf(titled, { ...caller, companies: ["*"] })).toThrow(refusal("document_name_invalid"));
});

it("a company that is not one of the caller's is refused", () => {
  expect(() => companyOf(request({ "slm-company": ["other"] }), caller)).toThrow(
    expect.objectContaining({ code: "company_not_allowed" }),
  );
});
