/** Measures one host: DNS, then new connections one after the other over each IP version. */
import { lookup } from "node:dns/promises";
import { type Address, type Failure, measure, type Sample, type Target } from "./connection.ts";
import type { HostMeasured } from "./findings.ts";

/** Asks the system's resolver, as callers do (RFC 6724 order, /etc/hosts). @returns no addresses when the name has none */
async function resolve(host: string): Promise<{ addresses: Address[]; ms: number }> {
  const started = performance.now();
  const found = await lookup(host, { all: true }).catch(() => []);
  const addresses = found.map(({ address, family }): Address => ({ address, family: family === 6 ? 6 : 4 }));
  return { addresses, ms: performance.now() - started };
}

/** Makes `runs` connections for each IP version that the name has addresses of. Never rejects. */
export async function measureHost(target: Target, runs: number): Promise<HostMeasured> {
  const host = target.origin.hostname.replace(/^\[|\]$/g, "");
  const samples: Sample[] = [];
  const failures: Failure[] = [];
  const dnsMs: number[] = [];
  const seen = new Set<string>();
  for (let index = 0; index < runs; index += 1) {
    const { addresses, ms } = await resolve(host);
    dnsMs.push(ms);
    for (const { address } of addresses) seen.add(address);
    for (const family of [4, 6] as const) {
      const own = addresses.filter((one) => one.family === family);
      const to = own[index % own.length];
      if (!to) continue;
      // What fails once will fail again: a caller without IPv6 must not wait N times.
      if (failures.some((failure) => failure.family === family && failure.at === "connect")) continue;
      const one = await measure(to, target);
      if ("reason" in one) failures.push(one);
      else samples.push(one);
    }
  }
  return { host: target.origin.host, addresses: [...seen], dnsMs, samples, failures };
}
