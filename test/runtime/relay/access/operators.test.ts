import { expect, it, test } from "vitest";
import { isOperator } from "../../../../runtime/relay/access/operators.ts";
import { testConfig } from "../harness.ts";

const config = (operators?: string[]) => {
  const { access } = testConfig("http://127.0.0.1", "/data");
  return { access: { ...access, ...(operators && { operators }) } };
};
const OPERATORS = ["Kim@example.com", "@ops.example.com", "@example.book"];

test.each([
  ["kim@example.com", true],
  ["KIM@EXAMPLE.COM", true],
  ["anyone@ops.example.com", true],
  ["lee@example.com", false],
  ["kim@example.com.evil.org", false],
  ["kim@sub.ops.example.com", false],
  ["ops.example.com", false],
  ["@ops.example.com", false],
  ["a@b@ops.example.com", false],
  ["kim@example.com ", false],
  [" kim@example.com", false],
  ["kim@example.com\n", false],
  // The kelvin sign's lower case is k; ı and İ are no i.
  ["\u212aim@example.com", false],
  ["kim@example.boo\u212a", false],
  ["k\u0131m@example.com", false],
  ["k\u0130m@example.com", false],
  ["kim@ｅxample.com", false],
  ["", false],
  ["constructor", false],
])("%j is an operator: %s", (email, expected) => {
  expect(isOperator({ email }, config(OPERATORS))).toBe(expected);
});

it("nobody is one without an address, and without the setting", () => {
  expect(isOperator({ email: undefined }, config(OPERATORS))).toBe(false);
  expect(isOperator({ email: "kim@example.com" }, config())).toBe(false);
  expect(isOperator({ email: "kim@example.com" }, config([]))).toBe(false);
});

it("an address of more than 320 characters is nobody's", () => {
  const domain = "@ops.example.com";
  const ofLength = (length: number) => ({ email: domain.padStart(length, "a") });
  expect(isOperator(ofLength(320), config(OPERATORS))).toBe(true);
  expect(isOperator(ofLength(321), config(OPERATORS))).toBe(false);
});
