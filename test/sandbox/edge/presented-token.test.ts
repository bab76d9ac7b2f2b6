import { expect, test } from "vitest";
import { presentedToken } from "../../../sandbox/edge/presented-token.ts";

const json = '{"cf-access-client-id": "i", "cf-access-client-secret": "s"}';
const both = { clientId: "i", secret: "s" };

test.each([
  ["the usual two", { "cf-access-client-id": "i", "cf-access-client-secret": "s" }, undefined, both],
  ["the documented JSON", { "x-api-key": json }, "x-api-key", both],
  ["the documented JSON in Authorization", { authorization: json }, "authorization", both],
  [
    "the usual two win",
    { "cf-access-client-id": "a", "cf-access-client-secret": "b", "x-api-key": json },
    "x-api-key",
    { clientId: "a", secret: "b" },
  ],
  [
    "one half of the JSON",
    { "x-api-key": '{"cf-access-client-id": "i"}' },
    "x-api-key",
    { clientId: "i", secret: undefined },
  ],
  ["another header than the application's", { "api-key": json }, "x-api-key", undefined],
  ["the application has none", { "x-api-key": json }, undefined, undefined],
  ["a prefix, which is not documented", { authorization: `Bearer ${json}` }, "authorization", undefined],
  ["no JSON", { "x-api-key": "i:s" }, "x-api-key", undefined],
  ["null", { "x-api-key": "null" }, "x-api-key", undefined],
  ["none", {}, "x-api-key", undefined],
])("%s", (_what, headers, singleHeader, expected) => {
  expect(presentedToken(headers, singleHeader)).toEqual(expected);
});
