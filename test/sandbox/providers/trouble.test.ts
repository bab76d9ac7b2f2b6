import { expect, it } from "vitest";
import { providerTrouble, withProviderAdvice } from "../../../sandbox/providers/trouble.ts";
import { EngineError } from "../../../sandbox/stack.ts";

it.each([
  [
    `error: 1 error occurred:\n\t* Post "https://cloud.mongodb.com/api/atlas/v2/groups/1/databaseUsers": dial tcp: lookup cloud.mongodb.com: no such host`,
    /called the real cloud .*cloud\.mongodb\.com/,
  ],
  [`error: GET "https://api.cloudflare.com/client/v4/zones": 403 Forbidden`, /called the real cloud/],
  [
    "error: no resource plugin 'pulumi-resource-cloudflare' found in the workspace at version v6.22.1",
    /did not find a plugin/,
  ],
  [
    "error: could not load plugin for cloudflare provider: fork/exec: exec format error",
    /could not be started .*exec format/,
  ],
  ["error: rpc error: code = Unavailable desc = error reading from server: EOF", /a plugin crashed/],
  ["panic: runtime error: invalid memory address or nil pointer dereference\ngoroutine 1", /a plugin crashed/],
  ["error: Incompatible plugin API version. Plugin version: 7, Client versions: [6]", /does not fit the engine/],
  ["error: dial tcp 10.0.0.1:443: i/o timeout", /could not reach a server/],
])("a failure of the plugins is told from one of the program: %s", (output, reason) => {
  expect(providerTrouble(output)).toMatch(reason);
});

it.each([
  "error: the stack's config has 2 problems:\n  slm-network:hostname is missing",
  "error: cloudflare:index:DnsRecord slm-dns: An A, AAAA, or CNAME record with that host already exists. (81053)",
  "error: process exited with status 1: the relay did not become ready within 30 s",
])("a failure of the program is not laid on the plugins: %s", (output) => {
  expect(providerTrouble(output)).toBeUndefined();
  const error = new EngineError("`pulumi up` ended with 255", output);
  expect(withProviderAdvice(error)).toBe(error);
});

it("says how to go on with the sandbox's own", () => {
  const error = new EngineError("`pulumi up` ended with 255", "lookup cloud.mongodb.com: no such host");
  const advised = withProviderAdvice(error) as EngineError;
  expect(advised.message).toMatch(
    /^`pulumi up` ended with 255\nThis is not the program's fault: .*no such host.*\n.*: SANDBOX_PROVIDERS=ours npm run sandbox\n.*-- --reset, then again\.$/,
  );
  const other = new Error("no such host");
  expect(withProviderAdvice(other)).toBe(other);
});
