import { expect, it } from "vitest";
import { LeaseClock } from "../../../../runtime/relay/jobs/lease-clock.ts";

function start() {
  const clock = { now: 1000 };
  return { clock, leases: new LeaseClock(() => clock.now, 500) };
}

it("a lease has expired after its time, not at it", () => {
  const { clock, leases } = start();
  leases.set("a", 100);
  leases.set("b", 200);
  clock.now = 1100;
  expect(leases.expired(["a", "b"])).toEqual([]);
  clock.now = 1101;
  expect(leases.expired(["a", "b"])).toEqual(["a"]);
  leases.set("a", 100);
  expect(leases.expired(["a", "b"])).toEqual([]);
});

it("a running attempt that is not known gets the usual lease from when it is first seen", () => {
  const { clock, leases } = start();
  expect(leases.expired(["a"])).toEqual([]);
  clock.now = 1500;
  expect(leases.expired(["a"])).toEqual([]);
  clock.now = 1501;
  expect(leases.expired(["a"])).toEqual(["a"]);
});

it("the lease of an attempt that does not run is forgotten", () => {
  const { clock, leases } = start();
  leases.set("a", 100);
  clock.now = 1101;
  expect(leases.expired([])).toEqual([]);
  expect(leases.expired(["a"])).toEqual([]); // the usual lease again
});
