/** Routes of objects that are stored in their wire form: create, list, read, replace or change, delete. */
import type { z } from "zod";
import type { CloudflareAccount } from "./account.ts";
import { checkBody, type InvalidBodyStyle, notFound } from "./errors.ts";
import { type Answer, type Call, canRead, canWrite, keepEqual, page, type Route, withoutUndefined } from "./route.ts";
import type { PlainKind } from "./state.ts";

type Wire = Record<string, unknown>;

/** The differences between kinds. */
export interface Collection {
  kind: PlainKind;
  path: string;
  /** Permission groups; the method decides between Read and Write. */
  groups: string[];
  style: InvalidBodyStyle;
  /** Body of POST and, without `change`, of PUT. */
  create: z.ZodType<Wire>;
  /** Body of PATCH, and of PUT when one schema serves both. Absent fields keep their value. */
  change?: z.ZodType<Wire>;
  methods: ("PUT" | "PATCH")[];
  /** Builds the object from the request body. `old` is the previous object of a change. */
  build(account: CloudflareAccount, sent: Wire, old: Wire | undefined): Wire;
  /** The key in the path. @default `id` */
  key?: string;
  /** Throws `ApiError` when the object conflicts with others or refers to a missing one. */
  check?(account: CloudflareAccount, next: Wire): void;
  /** Throws `ApiError` when the object is still in use. */
  checkRemoval?(account: CloudflareAccount, id: string): void;
  /** Query parameters that a list is filtered by. */
  filters?: string[];
}

/** The objects of one kind except the one with `id`. */
export function others(account: CloudflareAccount, kind: PlainKind, id: unknown): Wire[] {
  return Object.entries(account.state[kind]).flatMap(([key, value]) => (key === id ? [] : [value]));
}

/** Builds the routes. */
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
    // `hostname.exact` compares the field `hostname`.
    const wanted = Object.fromEntries(
      (collection.filters ?? []).map((filter) => [filter, (one: Wire) => one[filter.replace(/\.exact$/, "")]]),
    );
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
