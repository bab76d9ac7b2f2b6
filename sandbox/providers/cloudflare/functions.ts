/** Cloudflare's data sources. Names and results as in @pulumi/cloudflare 6.22.1. */

import type { Call, FunctionDefinition } from "../plugin/definition.ts";
import { any, number, object, string } from "../plugin/fields.ts";
import { isProps, type Props } from "../plugin/values.ts";
import { camelKeys, isJsonObject, type Json } from "../plugin/wire.ts";
import { asObject, type CloudflareApi } from "./client.ts";

type Function_ = FunctionDefinition<CloudflareApi>;

function props(result: Json): Props {
  const value = camelKeys(result);
  return isProps(value) ? value : {};
}

/** A GET whose object must exist. @throws with the path when it does not */
async function get(call: Call<CloudflareApi>, path: string): Promise<Json> {
  const result = await call.client.call("get", path, call.signal);
  if (result === undefined) throw new Error(`GET ${path}: 404, there is no such object: check the ids`);
  return result;
}

function segment(value: unknown, name: string): string {
  if (typeof value !== "string" || value === "") throw new Error(`${name} is empty: give it`);
  return encodeURIComponent(value);
}

const token = (name: string) => `cloudflare:index/${name}:${name}`;

const organization: Function_ = {
  token: token("getZeroTrustOrganization"),
  inputs: { accountId: string(), zoneId: string() },
  async invoke(call, { accountId, zoneId }) {
    const owner = accountId
      ? `/accounts/${segment(accountId, "accountId")}`
      : `/zones/${segment(zoneId, "accountId or zoneId")}`;
    const path = `${owner}/access/organizations`;
    return { ...props(asObject(await get(call, path), path)), accountId, zoneId, id: accountId ?? zoneId };
  },
};

const tunnelToken: Function_ = {
  token: token("getZeroTrustTunnelCloudflaredToken"),
  inputs: { accountId: string({ required: true }), tunnelId: string({ required: true }) },
  secretOutputs: ["token"],
  async invoke(call, { accountId, tunnelId }) {
    const path = `/accounts/${segment(accountId, "accountId")}/cfd_tunnel/${segment(tunnelId, "tunnelId")}/token`;
    const result = await get(call, path);
    if (typeof result !== "string") throw new Error(`GET ${path}: the response is not a token`);
    return { accountId, tunnelId, token: result, id: tunnelId };
  },
};

const zone: Function_ = {
  token: token("getZone"),
  inputs: {
    zoneId: string(),
    filter: object({
      account: any(),
      direction: string(),
      match: string(),
      name: string(),
      order: string(),
      status: string(),
    }),
  },
  async invoke(call, { zoneId, filter }) {
    if (zoneId) {
      const path = `/zones/${segment(zoneId, "zoneId")}`;
      return { ...props(asObject(await get(call, path), path)), zoneId };
    }
    const name = isProps(filter) && typeof filter.name === "string" ? filter.name : "";
    const found = await get(call, `/zones?name=${segment(name, "zoneId or filter.name")}`);
    const zones = Array.isArray(found) ? found.filter(isJsonObject) : [];
    const only = zones[0];
    if (!only || zones.length > 1) {
      throw new Error(`${zones.length} zones are named ${JSON.stringify(name)}, one is wanted: give zoneId instead`);
    }
    const result = props(only);
    return { ...result, filter, zoneId: result.id };
  },
};

const regionalHostname: Function_ = {
  token: token("getRegionalHostname"),
  inputs: { hostname: string({ required: true }), zoneId: string() },
  async invoke(call, { hostname, zoneId }) {
    const path = `/zones/${segment(zoneId, "zoneId")}/addressing/regional_hostnames/${segment(hostname, "hostname")}`;
    return { ...props(asObject(await get(call, path), path)), zoneId, id: hostname };
  },
};

const regionalHostnames: Function_ = {
  token: token("getRegionalHostnames"),
  inputs: { maxItems: number(), zoneId: string() },
  async invoke(call, { maxItems, zoneId }) {
    const found = await get(call, `/zones/${segment(zoneId, "zoneId")}/addressing/regional_hostnames`);
    const all = Array.isArray(found) ? found.map((entry) => ({ ...props(entry) })) : [];
    return { results: typeof maxItems === "number" ? all.slice(0, maxItems) : all, maxItems, zoneId };
  },
};

export const functions: readonly Function_[] = [organization, tunnelToken, zone, regionalHostname, regionalHostnames];
