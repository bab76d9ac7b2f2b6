/**
 * A sandbox communicates over loopback only, which no proxy reaches. Go excludes loopback itself; Node (with
 * NODE_USE_ENV_PROXY) and curl use the proxy unless NO_PROXY lists it.
 */
import { setGlobalProxyFromEnv } from "node:http";

const loopback = ["127.0.0.1", "localhost"];
const proxyNames = /^(https?|all)_proxy$/i;

/**
 * Pure.
 * @returns NO_PROXY and no_proxy with loopback added; empty without a proxy
 */
export function loopbackWithoutProxy(environment: NodeJS.ProcessEnv): { NO_PROXY?: string; no_proxy?: string } {
  if (!Object.entries(environment).some(([name, value]) => proxyNames.test(name) && value)) return {};
  const named = (environment.no_proxy || environment.NO_PROXY || "").split(/[\s,]+/).filter((host) => host !== "");
  const hosts = named.includes("*") ? ["*"] : [...new Set([...named, ...loopback])];
  return { NO_PROXY: hosts.join(","), no_proxy: hosts.join(",") };
}

/** @returns whether curl would send a request to http://127.0.0.1 to a proxy: it reads only the lower-case `http_proxy` */
export function isCurlProxied(environment: NodeJS.ProcessEnv): boolean {
  const { http_proxy, all_proxy, ALL_PROXY, no_proxy, NO_PROXY } = environment;
  if (!(http_proxy || all_proxy || ALL_PROXY)) return false;
  const named = (no_proxy || NO_PROXY || "").split(/[\s,]+/);
  return !named.includes("*") && !named.includes("127.0.0.1");
}

/** Makes this process and its children reach loopback without a proxy. Call it before any request. */
export function reachLoopbackDirectly(): void {
  const wanted = loopbackWithoutProxy(process.env);
  if (wanted.NO_PROXY === undefined) return;
  Object.assign(process.env, wanted);
  // Node has read its proxy at its start; download.ts reads the environment itself.
  if (process.env.NODE_USE_ENV_PROXY === "1" || process.execArgv.includes("--use-env-proxy")) setGlobalProxyFromEnv();
}
