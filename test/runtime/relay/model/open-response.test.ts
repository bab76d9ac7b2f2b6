/** The response of a call that may have to wait. */
import { expect, test } from "vitest";
import { ClientDisconnected } from "../../../../runtime/relay/http/body.ts";
import { type CoarseTimer, CoarseTimers } from "../../../../runtime/relay/http/coarse-timers.ts";
import { KEEP_ALIVE_TIMES } from "../../../../runtime/relay/http/keep-alive-writer.ts";
import { type AcceptedCall, openResponse } from "../../../../runtime/relay/model/call.ts";
import { modelCall } from "../dialects/model-call.ts";

test("no timer keeps a request whose client left before, as while its key was claimed", () => {
  const added: CoarseTimer[] = [];
  class Timers extends CoarseTimers {
    override add(timer: CoarseTimer): void {
      added.push(timer);
    }
  }
  const open = (closed: boolean) => {
    const exchange = { res: { closed, on: () => {} }, holding: {} };
    const call = { exchange, route: modelCall("/v1/chat/completions"), checked: { facts: { stream: false } } };
    return openResponse(call as unknown as AcceptedCall, { keepAlive: KEEP_ALIVE_TIMES, timers: new Timers(1000) });
  };
  expect(() => open(true)).toThrow(ClientDisconnected);
  expect(added).toEqual([]);
  const writer = open(false);
  expect(added).toEqual([writer]);
});
