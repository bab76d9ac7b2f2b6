import { DatabaseUser } from "@pulumi/mongodbatlas/databaseUser.js";
import { FlexCluster } from "@pulumi/mongodbatlas/flexCluster.js";
import { getAdvancedClusterOutput } from "@pulumi/mongodbatlas/getAdvancedCluster.js";
import { ProjectIpAccessList } from "@pulumi/mongodbatlas/projectIpAccessList.js";
import * as pulumi from "@pulumi/pulumi";
import { ConnectionString } from "mongodb-connection-string-url";
import { TtlCollection } from "./ttl-collection.ts";

/** A Flex cluster: small, shared, paid by use. */
export interface NewCluster {
  readonly name: string;
  /** AWS, GCP or AZURE. */
  readonly provider: string;
  /** As Atlas names it: AP_NORTHEAST_2 is AWS in Seoul. */
  readonly region: string;
}

/** Arguments of the document store. */
export interface DocumentStoreArgs {
  readonly projectId: string;
  /** Name of an existing cluster, or the Flex cluster to make. */
  readonly cluster: string | { readonly create: NewCluster };
  readonly database: string;
  readonly collection: string;
  /** Days after its last use when a document is forgotten, 1 to 365. */
  readonly ttlDays: number;
  /** Networks (CIDR) to add to the project's access list. */
  readonly allowFrom: readonly string[];
  /** Says who made users and entries of the access list. @default `slm-network` */
  readonly comment?: string | undefined;
  /** Tags of a new cluster. @default none */
  readonly tags?: Readonly<Record<string, string>> | undefined;
  /** Comments by network of the entries in the state: a change would replace the entry. @default none */
  readonly comments?: ReadonlyMap<string, string> | undefined;
  /** First part of the database users' names, which are unique in the project. @default the database's name */
  readonly userPrefix?: string | undefined;
  /** `standard` names each server, for networks whose DNS cannot resolve SRV records. @default srv */
  readonly connection?: "srv" | "standard" | undefined;
  /** Password of the user that makes the collection and its indexes; a secret. */
  readonly schemaPassword: pulumi.Input<string>;
  /** Password of the relay's user, which only reads and writes; a secret. */
  readonly relayPassword: pulumi.Input<string>;
  /** Removes the documents with the collection's resource; otherwise they stay. */
  readonly dropData: boolean;
  /** Refuses to delete the collection. */
  readonly protect: boolean;
}

/**
 * Puts a user and password into a connection string, whatever characters they hold.
 * @param base `mongodb+srv://host` or `mongodb://host:port,host:port/?options`, as Atlas gives it
 * @throws MongoParseError when `base` is not a connection string
 */
export function withCredentials(base: string, username: string, password: string): string {
  const uri = new ConnectionString(base);
  uri.username = encodeURIComponent(username);
  uri.password = encodeURIComponent(password);
  uri.searchParams.set("authSource", "admin");
  return uri.toString();
}

/** The roles of the two users on the one database; `collMod` (a changed TTL) is in `dbAdmin` only. */
export const roles = { schema: ["readWrite", "dbAdmin"], relay: ["readWrite"] } as const;

/**
 * Where document vectors are kept: users, network access, and the collection with its TTL index, in an Atlas cluster that is
 * there already and is never touched, or in one made for it.
 *
 * @example
 * const store = new DocumentStore("slm", { projectId, cluster: "main", database: "slm", collection: "documents", ttlDays: 30, … });
 * store.relayUri; // a secret, for the relay
 */
export class DocumentStore extends pulumi.ComponentResource {
  /** Connection string of the relay's user; a secret. */
  readonly relayUri: pulumi.Output<string>;

  constructor(name: string, args: DocumentStoreArgs, opts?: pulumi.ComponentResourceOptions) {
    super("slm-network:document-store:DocumentStore", name, {}, opts);
    const { projectId, database } = args;

    const clusterName = typeof args.cluster === "string" ? args.cluster : args.cluster.create.name;
    const made = typeof args.cluster === "string" ? undefined : this.#newCluster(name, args, args.cluster.create);
    const cluster = made ?? getAdvancedClusterOutput({ projectId, name: clusterName }, { parent: this });
    const base = pulumi
      .output(cluster.connectionStrings)
      .apply((strings) =>
        args.connection === "standard" ? strings.standard : strings.standardSrv || strings.standard,
      );

    const user = (kind: keyof typeof roles, password: pulumi.Input<string>) =>
      new DatabaseUser(
        `${name}-user-${kind}`,
        {
          projectId,
          authDatabaseName: "admin",
          username: `${args.userPrefix ?? database}-${kind}`,
          // The most that Atlas takes.
          description: (args.comment ?? "slm-network").slice(0, 100),
          password: pulumi.secret(password),
          roles: roles[kind].map((roleName) => ({ roleName, databaseName: database })),
          scopes: [{ name: clusterName, type: "CLUSTER" }],
        },
        { parent: this, dependsOn: made ? [made] : [] },
      );
    const schemaUser = user("schema", args.schemaPassword);
    const relayUser = user("relay", args.relayPassword);

    const access = args.allowFrom.map(
      (cidrBlock) =>
        new ProjectIpAccessList(
          `${name}-from-${cidrBlock.replace(/[./]/g, "-")}`,
          { projectId, cidrBlock, comment: args.comments?.get(cidrBlock) ?? args.comment ?? "slm-network" },
          { parent: this },
        ),
    );

    const uri = (username: pulumi.Input<string>, password: pulumi.Input<string>) =>
      pulumi.secret(pulumi.all([base, username, password]).apply((parts) => withCredentials(...parts)));

    new TtlCollection(
      `${name}-documents`,
      {
        uri: uri(schemaUser.username, args.schemaPassword),
        database,
        collection: args.collection,
        ttlSeconds: args.ttlDays * 86_400,
        dropData: args.dropData,
      },
      { parent: this, protect: args.protect, dependsOn: [schemaUser, ...access] },
    );

    this.relayUri = uri(relayUser.username, args.relayPassword);
    this.registerOutputs({ relayUri: this.relayUri });
  }

  #newCluster(name: string, { projectId, tags, protect }: DocumentStoreArgs, create: NewCluster): FlexCluster {
    return new FlexCluster(
      `${name}-cluster`,
      {
        projectId,
        name: create.name,
        providerSettings: { backingProviderName: create.provider, regionName: create.region },
        terminationProtectionEnabled: protect,
        ...(tags && { tags: { ...tags } }),
      },
      { parent: this, protect },
    );
  }
}
