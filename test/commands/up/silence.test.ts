import { expect, it } from "vitest";
import type { EngineEvent } from "../../../commands/up/events.ts";
import { Silence } from "../../../commands/up/silence.ts";
import { typeToken } from "../../../config/resource-types.ts";

const of = (type: string, name: string, op = "create") => ({ op, type, urn: `urn:pulumi:s::p::${type}::${name}` });
const begins = (metadata: ReturnType<typeof of>): EngineEvent => ({ resourcePreEvent: { metadata } });
const tunnel = of(typeToken("tunnel"), "slm-tunnel");

it("explains a silence of twenty seconds once", () => {
  const silence = new Silence();
  expect(silence.notes([begins(tunnel)], 1_000)).toEqual([]);
  expect(silence.notes([], 20_900)).toEqual([]);
  expect(silence.notes([], 21_100)).toEqual([
    expect.stringMatching(/^… slm-tunnel: .*a name that is taken.*npm run preflight/),
  ]);
  expect(silence.notes([], 60_000)).toEqual([]);
});

it("says nothing of what has ended, failed, is only planned, or is known to be slow", () => {
  const silence = new Silence();
  const record = of(typeToken("record"), "slm-dns");
  const planned: EngineEvent = { resourcePreEvent: { metadata: of(typeToken("record"), "b"), planning: true } };
  const slowOnes = [of(typeToken("customHostname"), "c"), of(typeToken("cluster"), "d"), of(typeToken("mac"), "e")];
  silence.notes([begins(tunnel), begins(record), planned, ...slowOnes.map(begins)], 0);
  silence.notes([{ resOutputsEvent: { metadata: tunnel } }, { resOpFailedEvent: { metadata: record } }], 1_000);
  expect(silence.notes([], 100_000)).toEqual([]);
});
