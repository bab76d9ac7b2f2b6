/**
 * Everything a sandbox talks to is on loopback, which no proxy reaches. Go leaves loopback out by itself; Node (with
 * NODE_USE_ENV_PROXY) and curl send it to the proxy unless NO_PROXY names it.
 */
import { setGlobalProxyFromEnv } from "node:http";

const loopback = ["127.0.0.1", "localhost"];
const proxyNames = /^(https?|all)_proxy$/i;

/**
 * Pure.
 * @returns NO_PROXY in both cases, as set and with loopback; nothing where no proxy is set
 */
export function loopbackWithoutProxy(environment: NodeJS.ProcessEnv): { NO_PROXY?: string; no_proxy?: string } {
  if (!Object.entries(environment).some(([name, value]) => proxyNames.test(name) && value)) return {};
  const named = (environment.no_proxy || environment.NO_PROXY || "").split(/[\s,]+/).filter((host) => host !== "");
  const hosts = named.includes("*") ? ["*"] : [...new Set([...named, ...loopback])];
  return { NO_PROXY: hosts.join(","), no_proxy: hosts.join(",") };
}

/** @returns whether curl would send a request to http://127.0.0.1 to a proxy: it reads `http_proxy` in small letters only */
export function isCurlProxied(environment: NodeJS.ProcessEnv): boolean {
  const { http_proxy, all_proxy, ALL_PROXY, no_proxy, NO_PROXY } = environment;
  if (!(http_proxy || all_proxy || ALL_PROXY)) return false;
  const named = (no_proxy || NO_PROXY || "").split(/[\s,]+/);
  return !named.includes("*") && !named.includes("127.0.0.1");
}

/** Before anything is asked: this process, and those it starts, reach loopback without a proxy. */
export function reachLoopbackDirectly(): void {
  const wanted = loopbackWithoutProxy(process.env);
  if (wanted.NO_PROXY === undefined) return;
  Object.assign(process.env, wanted);
  // Node read its proxy at its start; download.ts reads the environment itself.
  if (process.env.NODE_USE_ENV_PROXY === "1" || process.execArgv.includes("--use-env-proxy")) setGlobalProxyFromEnv();
}
