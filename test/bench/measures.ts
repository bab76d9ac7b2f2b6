/** What is measured of a target, one function a measure. */
import { setTimeout as wait } from "node:timers/promises";
import { load } from "./load.ts";
import { cpuSeconds, quantile, residentMb } from "./process.ts";
import type { Target } from "./targets.ts";

/** Values by name; NaN where a target has none (the stand-in's own CPU says nothing). */
export type Values = Readonly<Record<string, number>>;

export interface Plan {
  readonly token: () => string;
  /** Length of each part, in seconds. */
  readonly seconds: number;
}

const PATH = "/v1/chat/completions";

function bodyOf(bytes: number, stream: boolean): string {
  const body = { model: "m", stream, messages: [{ role: "user", content: "" }] };
  body.messages[0]!.content = "x".repeat(Math.max(0, bytes - JSON.stringify(body).length));
  return JSON.stringify(body);
}

const KIB = bodyOf(1024, false);
const STREAM = bodyOf(1024, true);

/** Requests of 1 KiB over 64 connections. */
export async function requests({ url, pid }: Target, { token, seconds }: Plan): Promise<Values> {
  const shape = { connections: 64, target: PATH, body: KIB, token };
  await load(url, { ...shape, ms: 300 });
  const before = cpuSeconds(pid);
  const result = await load(url, { ...shape, ms: seconds * 1000 });
  const cpu = cpuSeconds(pid) - before;
  return { "requests/s": result.requests / result.seconds, "requests/CPU s": result.requests / cpu };
}

/** 64 streams of 100 events a second. */
export async function streams({ url, pid }: Target, { token, seconds }: Plan): Promise<Values> {
  const target = `${PATH}?events=${Math.round(seconds * 100)}`;
  const before = cpuSeconds(pid);
  let memory = 0;
  const watch = setInterval(() => {
    memory = Math.max(memory, residentMb(pid));
  }, 250);
  try {
    const result = await load(url, { connections: 64, target, body: STREAM, ms: 0, token });
    const cpu = cpuSeconds(pid) - before;
    return { "CPU s/million events": (cpu / result.events) * 1e6, "memory with 64 streams, MB": memory };
  } finally {
    clearInterval(watch);
  }
}

/** Time to the first token, 16 connections, of a model that takes 20 ms for it. */
export async function firstToken({ url }: Target, { token, seconds }: Plan): Promise<Values> {
  const { firstMs } = await load(url, {
    connections: 16,
    target: `${PATH}?first`,
    body: STREAM,
    ms: seconds * 1000,
    token,
  });
  return { "first token p50, ms": quantile(firstMs, 0.5), "first token p99, ms": quantile(firstMs, 0.99) };
}

/** Of the relay alone, started with one slot: at rest, and with 500 requests of 8 KiB waiting. In MB. */
export async function waitingMemory({ url, pid }: Target, token: () => string): Promise<Values> {
  await wait(1000);
  const idle = residentMb(pid);
  const leaving = new AbortController();
  const body = bodyOf(8192, false);
  const asked = Array.from({ length: 501 }, () =>
    fetch(`${url}${PATH}?hang`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", "cf-access-jwt-assertion": token() },
      signal: leaving.signal,
    }).catch(() => undefined),
  );
  await wait(2500);
  const waiting = residentMb(pid);
  leaving.abort();
  await Promise.all(asked);
  return { "idle, MB": idle, "500 waiting, MB": waiting };
}
