import * as pulumi from "@pulumi/pulumi";
import type { TtlCollectionInputs, TtlCollectionState } from "./ttl-collection-provider.ts";

/** Arguments of a TTL collection. */
export interface TtlCollectionArgs {
  /** Connection string of a user with `readWrite` and `dbAdmin` on the database; a secret. */
  readonly uri: pulumi.Input<string>;
  readonly database: pulumi.Input<string>;
  readonly collection: pulumi.Input<string>;
  /** Seconds after `lastAccessedAt` when MongoDB removes a document. */
  readonly ttlSeconds: pulumi.Input<number>;
  /** Drops the collection when the resource is deleted; otherwise the documents stay. */
  readonly dropData: pulumi.Input<boolean>;
}

// Pulumi writes the text of these functions into the state, and each runs in a process whose working folder is the
// program's: so they only lead to the module that does the work, and hold no path and no copy of it.
const load = async (): Promise<typeof import("./ttl-collection-provider.ts")> =>
  import(`file://${process.cwd()}/components/ttl-collection-provider.ts`);

const provider: pulumi.dynamic.ResourceProvider<TtlCollectionInputs, TtlCollectionState> = {
  diff: async (_id, olds, news) => (await load()).diff(olds, news),
  create: async (inputs) => (await load()).create(inputs),
  read: async (id, state) => (await load()).read(id as string, state as TtlCollectionState),
  update: async (_id, _olds, news) => (await load()).update(news),
  delete: async (_id, state) => (await load()).remove(state),
};

/**
 * A MongoDB collection whose documents expire a set time after their last use. Atlas' own provider ends at the cluster.
 *
 * `preview` reaches no database; `refresh` reads the indexes as they are, so that a TTL changed or an index dropped by
 * hand shows as drift, and the next `up` mends it.
 *
 * @example
 * new TtlCollection("slm-documents", { uri, database: "slm", collection: "documents", ttlSeconds: 30 * 86_400, dropData: false });
 */
export class TtlCollection extends pulumi.dynamic.Resource {
  /** Seconds as the index in the database has them; -1 without such an index. */
  declare readonly ttlSeconds: pulumi.Output<number>;

  constructor(name: string, args: TtlCollectionArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      provider,
      name,
      { ...args, uri: pulumi.secret(args.uri), uniqueIndex: undefined },
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["uri"] }),
      "document-store",
      "TtlCollection",
    );
  }
}
