import { expect, it } from "vitest";
import { tokenParts } from "../../../../runtime/relay/status/tokens.ts";

const caller = (name: string) => ({ name, clientId: `${name}.access`, companies: ["*"], weight: 1, enabled: true });

it("tells the age of a token by its end and its duration", () => {
  const [token] = tokenParts({
    callers: [caller("backend")],
    tokens: {
      backend: {
        expiresAt: "2027-11-28T00:00:00Z",
        duration: "8760h",
      },
    },
  });
  expect(token).toEqual({
    name: "backend",
    enabled: true,
    expiresAt: Date.parse("2027-11-28T00:00:00Z"),
    issuedAt: Date.parse("2026-11-28T00:00:00Z"),
  });
});

it("says what it does not know: a relay.json of an older release, a preview's values, a token without an end", () => {
  const unknown = { expiresAt: null, issuedAt: null };
  expect(tokenParts({ callers: [caller("a")] })).toMatchObject([unknown]);
  // Names that every object has are not tokens.
  expect(tokenParts({ callers: [caller("constructor")], tokens: {} })).toMatchObject([unknown]);
  const tokens = { a: { duration: "8760h" }, b: {} };
  expect(tokenParts({ callers: [caller("a"), caller("b")], tokens }).map(({ expiresAt }) => expiresAt)).toEqual([
    null,
    "never",
  ]);
});
