/** Builds a resource of Cloudflare's API from a table: nearly all are a collection with POST, GET, PUT, DELETE. */

import type { Call, ResourceDefinition } from "../plugin/definition.ts";
import { diff } from "../plugin/diff.ts";
import { any, type Failure, type Field, type Fields, string } from "../plugin/fields.ts";
import { type Props, reveal, type Value } from "../plugin/values.ts";
import { fromWire, importedInputs, type JsonObject, project, refreshedInputs, toWire } from "../plugin/wire.ts";
import { asObject, type CloudflareApi } from "./client.ts";

/** The specification of one resource. */
export interface CloudflareResource {
  /** `dnsRecord` for `cloudflare:index/dnsRecord:DnsRecord`. */
  name: string;
  /** The owner of the resource; `either`: an account or a zone. These inputs go into the path, never into a body. */
  scope: "account" | "zone" | "either";
  /** The collection's path under the scope, without slashes at its ends. */
  path: string | ((inputs: Props) => string);
  /** The path of one object under the collection; `""` for a singleton. @default its id */
  item?: (id: string) => string;
  /** The id, when the API's object has none. @default `result.id` */
  id?: (result: JsonObject, inputs: Props) => string;
  inputs: Fields;
  /** Outputs that are not inputs. */
  outputs: readonly string[];
  secretOutputs?: readonly string[];
  stables?: readonly string[];
  createMethod?: "post" | "put";
  /** `patch` sends only what changed. */
  updateMethod: "put" | "patch";
  /** Absent in the API, as for a tunnel's configuration: nothing is called. */
  noDelete?: true;
  /** Defaults sent to the API, as by the official provider. */
  defaults?: JsonObject | ((inputs: Props) => JsonObject);
  /** Final changes to a body. */
  body?: (body: JsonObject, inputs: Props) => JsonObject;
  /** Checks beyond the field table. */
  check?: (inputs: Props) => Failure[];
  /** Converts the API's object to the names of the tables. */
  result?: (result: JsonObject) => JsonObject;
  /** The response to POST and PUT is incomplete: the object is read after them. */
  readBack?: true;
  /** Outputs that an update makes unknown, besides the times of change. */
  changing?: (olds: Props, news: Props) => readonly string[];
  /** Inputs that an import leaves empty although the API has them; their defaults are planned afterwards. */
  notImported?: readonly string[];
  /** A warning logged after a creation. */
  warning?: string;
}

const without = (props: Props, names: readonly string[]): Props =>
  Object.fromEntries(Object.entries(props).filter(([name]) => !names.includes(name)));

const timesOfChange = ["modified", "modifiedOn", "updatedAt", "version"];
const scopeFields = {
  account: { accountId: string({ required: true, replace: true }) },
  zone: { zoneId: string({ required: true, replace: true }) },
  either: { accountId: string({ replace: true }), zoneId: string({ replace: true }) },
};

function text(value: Value | undefined, name: string): string {
  if (typeof value !== "string" || value === "") throw new Error(`${name} is empty: give it`);
  return encodeURIComponent(value);
}

/** Takes `accounts/A/`, `zones/Z/`, `A/` or `Z/` off an imported id. */
export function importedScope(scope: CloudflareResource["scope"], id: string): { id: string; scope: Props } {
  const parts = id.split("/");
  if (parts.length < 2) {
    const form = { account: "<account id>/<id>", zone: "<zone id>/<id>", either: "accounts/<account id>/<id>" }[scope];
    throw new Error(`${JSON.stringify(id)} does not say whose it is: import it as ${form}`);
  }
  const named = parts[0] === "accounts" || parts[0] === "zones" ? parts.shift() : undefined;
  const owner = parts.shift() ?? "";
  const isZone = named ? named === "zones" : scope === "zone";
  return { id: parts.join("/") || owner, scope: isZone ? { zoneId: owner } : { accountId: owner } };
}

/** Builds the resource of its table. */
export function cloudflareResource(spec: CloudflareResource): ResourceDefinition<CloudflareApi> {
  const scopes: Fields = scopeFields[spec.scope];
  const inputs: Fields = { ...scopes, ...spec.inputs };
  const outputFields = Object.fromEntries(spec.outputs.map((name): [string, Field] => [name, any()]));
  const readable: Fields = { ...spec.inputs, ...outputFields };

  const collection = (props: Props) => {
    const owner = props.zoneId
      ? `/zones/${text(props.zoneId, "zoneId")}`
      : `/accounts/${text(props.accountId, "accountId")}`;
    return `${owner}/${typeof spec.path === "function" ? spec.path(props) : spec.path}`;
  };
  const item = (props: Props, id: string) => {
    const last = spec.item ? spec.item(id) : id;
    return last === "" ? collection(props) : `${collection(props)}/${encodeURIComponent(last)}`;
  };
  const defaultsOf = (all: Props) => (typeof spec.defaults === "function" ? spec.defaults(all) : (spec.defaults ?? {}));
  const bodyOf = (given: Props, all: Props, withDefaults: boolean): JsonObject => {
    const body = { ...(withDefaults && defaultsOf(all)), ...toWire(spec.inputs, given) };
    return spec.body ? spec.body(body, all) : body;
  };
  const actualOf = (result: JsonObject) => fromWire(readable, spec.result ? spec.result(result) : result);

  /**
   * The state: requested inputs as the API has them, the API's additions, and the old values of secrets it never returns.
   */
  const stateOf = (actual: Props, asked: Props, olds: Props, refreshing: boolean): Props => {
    const state: Props = {};
    for (const name of Object.keys(scopes)) state[name] = asked[name];
    for (const [name, field] of Object.entries(spec.inputs)) {
      const wanted = asked[name];
      if (wanted === undefined || wanted === null) state[name] = field.writeOnly ? undefined : actual[name];
      else if (field.writeOnly) state[name] = wanted;
      else state[name] = project(field, wanted, actual[name]) ?? (refreshing ? undefined : wanted);
    }
    for (const name of spec.outputs) {
      state[name] = actual[name] ?? (spec.secretOutputs?.includes(name) ? olds[name] : undefined);
    }
    return state;
  };
  const whole = async (
    call: Call<CloudflareApi>,
    asked: Props,
    id: string,
    answer: JsonObject,
  ): Promise<JsonObject> => {
    if (!spec.readBack) return answer;
    const path = item(asked, id);
    return asObject(await call.client.call("get", path, call.signal), `GET ${path}`);
  };

  return {
    token: `cloudflare:index/${spec.name}:${spec.name.charAt(0).toUpperCase()}${spec.name.slice(1)}`,
    inputs,
    outputs: spec.outputs,
    secretOutputs: spec.secretOutputs,
    stables: spec.stables,
    check(given) {
      const { accountId, zoneId } = given;
      if (spec.scope !== "either") return spec.check?.(given) ?? [];
      if (accountId && zoneId)
        return [{ property: "zoneId", reason: "accountId and zoneId exclude each other: give one of them" }];
      if (!accountId && !zoneId)
        return [{ property: "accountId", reason: "neither accountId nor zoneId is given: give one of them" }];
      return [];
    },
    ...(spec.notImported && { plannedWithoutState: spec.notImported }),
    planned: (given) => fromWire(spec.inputs, defaultsOf(reveal(given))),
    changing: (olds, news) => {
      const times = timesOfChange.filter((name) => spec.outputs.includes(name));
      return [...times, ...(spec.changing?.(olds, news) ?? [])];
    },
    async create(call, asked) {
      const method = spec.createMethod ?? "post";
      const path = method === "post" ? collection(asked) : item(asked, "");
      const answer = asObject(await call.client.call(method, path, call.signal, bodyOf(asked, asked, true)), path);
      const id = spec.id ? spec.id(answer, asked) : answer.id;
      if (typeof id !== "string" || id === "") throw new Error(`${method.toUpperCase()} ${path}: the answer has no id`);
      if (spec.warning) call.log("warning", spec.warning);
      return { id, state: stateOf(actualOf(await whole(call, asked, id, answer)), asked, {}, false) };
    },
    async read(call, givenId, state, asked) {
      const importing = asked === undefined;
      const known = asked?.accountId || asked?.zoneId || state.accountId || state.zoneId;
      const origin = known ? { id: givenId, scope: {} } : importedScope(spec.scope, givenId);
      const props = { ...state, ...asked, ...origin.scope };
      // The id of a tunnel's resource is the tunnel's id.
      if ("tunnelId" in spec.inputs && !props.tunnelId) props.tunnelId = origin.id;
      const result = await call.client.call("get", item(props, origin.id), call.signal);
      if (result === undefined) return undefined;
      const object = asObject(result, `GET ${item(props, origin.id)}`);
      const read = { ...actualOf(object), ...("tunnelId" in props && { tunnelId: props.tunnelId }) };
      const actual = importing ? without(read, spec.notImported ?? []) : read;
      const scope = Object.fromEntries(Object.keys(scopes).map((name) => [name, props[name]]));
      const found = importing
        ? { ...scope, ...importedInputs(spec.inputs, actual) }
        : { ...scope, ...refreshedInputs(spec.inputs, asked, actual) };
      return { id: origin.id, inputs: found, state: stateOf(actual, importing ? found : { ...asked }, state, true) };
    },
    async update(call, id, olds, asked) {
      const path = item(asked, id);
      const changed = new Set([...diff(inputs, olds, asked).values()].map(({ property }) => property));
      const sent = Object.fromEntries(Object.entries(asked).filter(([name]) => changed.has(name)));
      const body = spec.updateMethod === "patch" ? bodyOf(sent, asked, false) : bodyOf(asked, asked, true);
      const answer = asObject(await call.client.call(spec.updateMethod, path, call.signal, body), path);
      return stateOf(actualOf(await whole(call, asked, id, answer)), asked, olds, false);
    },
    async delete(call, id, state) {
      if (!spec.noDelete) await call.client.call("delete", item(state, id), call.signal);
    },
  };
}
