import * as mongodbatlas from "@pulumi/mongodbatlas";
import * as pulumi from "@pulumi/pulumi";
import { ConnectionString } from "mongodb-connection-string-url";
import { TtlCollection } from "./ttl-collection.ts";

/** What the document store needs to know. */
export interface DocumentStoreArgs {
  readonly projectId: string;
  /** Name of an existing cluster. */
  readonly cluster: string;
  readonly database: string;
  readonly collection: string;
  /** Days after its last use when a document is forgotten, 1 to 365. */
  readonly ttlDays: number;
  /** Networks (CIDR) that may reach the database. */
  readonly allowFrom: readonly string[];
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
 * @throws MongoParseError when `base` is no connection string
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
 * Where document vectors are kept: users, network access, and the collection with its TTL index, in an existing Atlas
 * cluster. The cluster itself is never touched.
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

    const cluster = mongodbatlas.getAdvancedClusterOutput({ projectId, name: args.cluster }, { parent: this });
    const base = cluster.connectionStrings.apply((strings) => strings.standardSrv || strings.standard);

    const user = (kind: keyof typeof roles, password: pulumi.Input<string>) =>
      new mongodbatlas.DatabaseUser(
        `${name}-user-${kind}`,
        {
          projectId,
          authDatabaseName: "admin",
          username: `${database}-${kind}`,
          password: pulumi.secret(password),
          roles: roles[kind].map((roleName) => ({ roleName, databaseName: database })),
          scopes: [{ name: args.cluster, type: "CLUSTER" }],
        },
        { parent: this },
      );
    const schemaUser = user("schema", args.schemaPassword);
    const relayUser = user("relay", args.relayPassword);

    const access = args.allowFrom.map(
      (cidrBlock) =>
        new mongodbatlas.ProjectIpAccessList(
          `${name}-from-${cidrBlock.replace(/[./]/g, "-")}`,
          { projectId, cidrBlock, comment: "slm-network" },
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
}
