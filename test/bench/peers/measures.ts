/** What is measured of every gateway alike. Times in ms, memory in MB. */
import { Agent, request } from "undici";
import { load } from "../load.ts";
import type { Values } from "../measures.ts";
import { cpuSeconds, quantile, residentMb } from "../process.ts";
import type { Peer } from "./targets.ts";

const PATH = "/v1/chat/completions";
/** @param wanted of the origin, see `origin.ts` */
const bodyOf = (wanted: string, stream = false): string =>
  JSON.stringify({ model: "m", stream, messages: [{ role: "user", content: `${wanted} ${"x".repeat(900)}` }] });
const WHOLE = bodyOf("");
const SLOT = bodyOf("[slot]");
const STREAMS = 32;

/** How it is measured. */
export interface Plan {
  readonly token: () => string;
  readonly seconds: number;
}

/** Latency at 1 connection, requests per second and per CPU second at 64. */
export async function latency({ url, pid, headers }: Peer, { token, seconds }: Plan): Promise<Values> {
  const shape = { target: PATH, body: WHOLE, token, headers, countsFailures: true };
  const one = await load(url, { ...shape, connections: 1, ms: seconds * 1000 });
  const before = cpuSeconds(pid);
  const many = await load(url, { ...shape, connections: 64, ms: seconds * 1000 });
  const cpu = cpuSeconds(pid) - before;
  return {
    "p50 at 1 connection, ms": quantile(one.firstMs, 0.5),
    "p50 at 64 connections, ms": quantile(many.firstMs, 0.5),
    "requests/s at 64": many.requests / many.seconds,
    "requests/CPU s at 64": many.requests / cpu,
    "failed at 64, %": (100 * many.failed) / many.requests,
  };
}

/** Time to the first token of a model that takes 20 ms for it, 4 connections. */
export async function firstToken({ url, headers }: Peer, { token, seconds }: Plan): Promise<Values> {
  const { firstMs } = await load(url, {
    connections: 4,
    target: PATH,
    body: bodyOf("[first]", true),
    ms: seconds * 1000,
    token,
    headers,
    countsFailures: true,
  });
  return { "first token p50, ms": quantile(firstMs, 0.5) };
}

/** CPU and memory of a stream of 100 events a second. */
export async function streams({ url, pid, headers }: Peer, { token, seconds }: Plan): Promise<Values> {
  const rest = residentMb(pid);
  const before = cpuSeconds(pid);
  let most = rest;
  const watch = setInterval(() => {
    most = Math.max(most, residentMb(pid));
  }, 250);
  try {
    const body = bodyOf(`[events=${Math.round(seconds * 100)}]`, true);
    const result = await load(url, {
      connections: STREAMS,
      target: PATH,
      body,
      ms: 0,
      token,
      headers,
      countsFailures: true,
    });
    const cpu = cpuSeconds(pid) - before;
    return {
      "CPU per stream, ms/s": (cpu * 1000) / (STREAMS * result.seconds),
      "memory per stream, MB": (most - rest) / STREAMS,
      "memory, MB": most,
    };
  } finally {
    clearInterval(watch);
  }
}

/** Of what the overload measure needs to know about the origin. */
export interface Origin {
  /** Requests that it takes at once, and the ms that each takes. */
  readonly slots: number;
  readonly serviceMs: number;
  /** Answers that it finished for callers who had left. */
  wasted(): Promise<number>;
}

/** A caller gives up after so many times the model's own time. */
export const PATIENCE = 20;

/**
 * Ten times the capacity for some seconds: one noisy caller sends nine tenths of it, three quiet ones the rest. Open loop:
 * requests come whether the others were answered or not.
 */
export async function overload(
  { url, headers }: Peer,
  tokens: { quiet: () => string; noisy: string },
  origin: Origin,
  seconds: number,
): Promise<Values> {
  const capacity = (origin.slots * 1000) / origin.serviceMs;
  const patienceMs = PATIENCE * origin.serviceMs;
  const dispatcher = new Agent({ connections: 4096, pipelining: 1 });
  const ended: { isQuiet: boolean; status: number; ms: number }[] = [];
  const ask = async (isQuiet: boolean, name: string): Promise<void> => {
    const from = performance.now();
    const status = await request(url + PATH, {
      method: "POST",
      body: SLOT,
      headers: {
        ...headers,
        "x-caller": name,
        "content-type": "application/json",
        "cf-access-jwt-assertion": isQuiet ? tokens.quiet() : tokens.noisy,
      },
      signal: AbortSignal.timeout(patienceMs),
      dispatcher,
      headersTimeout: 0,
      bodyTimeout: 0,
    }).then(
      async ({ statusCode, body }) => {
        await body.dump();
        return statusCode;
      },
      () => 0, // gave up
    );
    ended.push({ isQuiet, status, ms: performance.now() - from });
  };
  const wastedBefore = await origin.wasted();
  const total = Math.round(10 * capacity * seconds);
  const all: Promise<void>[] = [];
  const began = performance.now();
  for (let i = 0; i < total; i += 1) {
    const due = began + (i * 1000) / (10 * capacity) - performance.now();
    if (due > 1) await new Promise((resolve) => setTimeout(resolve, due));
    const quiet = i % 10 === 0;
    all.push(ask(quiet, quiet ? `quiet-${(i / 10) % 3}` : "noisy"));
  }
  const lasted = (performance.now() - began) / 1000;
  await Promise.all(all);
  await dispatcher.destroy();
  const good = ended.filter(({ status }) => status === 200);
  const away = ended.filter(({ status }) => status === 429 || status === 503);
  const quietGood = good.filter(({ isQuiet }) => isQuiet);
  const quietAll = ended.filter(({ isQuiet }) => isQuiet).length;
  return {
    "goodput under overload, of capacity": good.length / (lasted + patienceMs / 1000) / capacity,
    "turned away after, p50 ms": quantile(
      away.map(({ ms }) => ms),
      0.5,
    ),
    "gave up without an answer, %": (100 * (ended.length - good.length - away.length)) / ended.length,
    "quiet callers answered, %": (100 * quietGood.length) / Math.max(1, quietAll),
    "quiet callers' p50, ms": quantile(
      quietGood.map(({ ms }) => ms),
      0.5,
    ),
    "wasted answers at the model, of capacity": ((await origin.wasted()) - wastedBefore) / (capacity * lasted),
  };
}
