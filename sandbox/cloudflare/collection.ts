/** Routes of a kind of object that is stored in its wire form: create, list, read, replace or change, delete. */
import type { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { checkBody, notFound, type RefusalStyle } from "./errors.ts";
import { type Answer, type Call, canRead, canWrite, keepEqual, page, type Route, withoutUndefined } from "./route.ts";
import type { PlainKind } from "./state.ts";

type Wire = Record<string, unknown>;

/** What differs from one kind to the next. */
export interface Collection {
  kind: PlainKind;
  path: string;
  /** Permission groups; the method says whether Read or Write. */
  groups: string[];
  style: RefusalStyle;
  /** Body of POST and, unless `change` is there, of PUT. */
  create: z.ZodType<Wire>;
  /** Body of PATCH (and PUT when there is one for both); fields that are absent stay. */
  change?: z.ZodType<Wire>;
  methods: ("PUT" | "PATCH")[];
  /** Makes the object out of what was sent; for a change `old` is what was there. */
  build(account: CloudflareAccount, sent: Wire, old: Wire | undefined): Wire;
  /** The key in the path; `id` unless told otherwise. */
  key?: string;
  /** Throws `ApiError` when the object is not allowed beside the others, or refers to what is not there. */
  check?(account: CloudflareAccount, next: Wire): void;
  /** Throws `ApiError` when the object is still in use. */
  checkRemoval?(account: CloudflareAccount, id: string): void;
  /** Query parameters that a list is filtered by. */
  filters?: string[];
}

/** Objects of one kind that are there, except the one with `id`. */
export function others(account: CloudflareAccount, kind: PlainKind, id: unknown): Wire[] {
  return Object.entries(account.state[kind]).flatMap(([key, value]) => (key === id ? [] : [value]));
}

/** Makes the routes. */
export function collectionRoutes(collection: Collection): Route[] {
  const { kind, path, groups, style } = collection;
  const key = collection.key ?? "id";
  const find = ({ account, params }: Call): Wire => {
    const found = account.state[kind][params.id ?? ""];
    if (found === undefined) throw notFound(1003, `${path.split("/").at(-1)}: ${params.id} not found`);
    return found;
  };
  const put = (call: Call, schema: z.ZodType<Wire>, old: Wire | undefined, keep: boolean): Answer => {
    const sent = withoutUndefined(checkBody(schema, call.body, style));
    const next = collection.build(call.account, keep ? { ...old, ...sent } : sent, old);
    collection.check?.(call.account, next);
    call.account.update((state) => {
      state[kind][String(next[key])] = next;
    });
    return { result: next };
  };
  const remove = (call: Call): Answer => {
    const id = String(find(call)[key]);
    collection.checkRemoval?.(call.account, id);
    call.account.update((state) => {
      delete state[kind][id];
    });
    return { result: { id }, beside: { id } };
  };
  const list = ({ account, query }: Call): Answer => {
    const wanted = Object.fromEntries((collection.filters ?? []).map((field) => [field, (one: Wire) => one[field]]));
    return page(keepEqual(Object.values(account.state[kind]), query, wanted), query);
  };
  const one = `${path}/:id`;
  return [
    { method: "GET", path, permissions: canRead(...groups), handle: list },
    {
      method: "POST",
      path,
      permissions: canWrite(...groups),
      handle: (call) => put(call, collection.create, undefined, false),
    },
    { method: "GET", path: one, permissions: canRead(...groups), handle: (call) => ({ result: find(call) }) },
    ...collection.methods.map((method): Route => {
      const keep = method === "PATCH";
      const schema = keep ? (collection.change ?? collection.create) : collection.create;
      return {
        method,
        path: one,
        permissions: canWrite(...groups),
        handle: (call) => put(call, schema, find(call), keep),
      };
    }),
    { method: "DELETE", path: one, permissions: canWrite(...groups), handle: remove },
  ];
}
