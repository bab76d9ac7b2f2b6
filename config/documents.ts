/** The part of the stack's config about the documents: `documents`. */
import { z } from "zod";
import {
  DEFAULT_TTL_DAYS,
  MAX_TTL_DAYS,
  MIN_TTL_DAYS,
  documentsSchema as relayDocumentsSchema,
} from "../runtime/documents-config.ts";
import { evenIfInvalid, withMessage } from "./rule-helpers.ts";

const ipv4 = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}\/(3[0-2]|[12]?\d)$/;
const cidrSchema = z
  .string()
  .regex(ipv4, withMessage("is not an IPv4 network: write an address and a length, e.g. 203.0.113.7/32"));

const clusterName = (text: string) =>
  z
    .string(withMessage(text))
    .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/, withMessage("is not a cluster name: letters, digits and -"));

/** An existing cluster by its name, or a Flex cluster to make. */
const clusterSchema = z.union(
  [
    clusterName("is missing: the name of an existing cluster, as Atlas shows it"),
    z
      .object({
        create: z
          .object({
            name: clusterName("must be a name, e.g. slm").default("slm"),
            provider: z
              .enum(["AWS", "GCP", "AZURE"], withMessage("must be AWS, GCP or AZURE; Seoul is AWS AP_NORTHEAST_2"))
              .default("AWS"),
            region: z
              .string()
              .regex(/^[A-Z][A-Z0-9_]+$/, withMessage("is not an Atlas region, e.g. AP_NORTHEAST_2 for Seoul"))
              .default("AP_NORTHEAST_2"),
          })
          .strict(),
      })
      .strict(),
  ],
  withMessage(
    "is neither the name of an existing cluster nor { create: { name: slm } } for a new Flex cluster in Seoul",
  ),
);

const runtimeDocuments = relayDocumentsSchema.shape;
const ttlRange = `${MIN_TTL_DAYS} to ${MAX_TTL_DAYS}`;

/** `documents` of the stack's config. */
export const documentsSchema = z
  .object({
    store: z.enum(["atlas", "embedded"], withMessage("must be atlas or embedded")).default("embedded"),
    ttlDays: z
      .int(withMessage(`must be a whole number of days, ${ttlRange}`))
      .min(
        MIN_TTL_DAYS,
        withMessage(`would forget a document at once: ${ttlRange} days after its last use, e.g. ${DEFAULT_TTL_DAYS}`),
      )
      .max(MAX_TTL_DAYS, withMessage(`is over a year: ${ttlRange} days after its last use, e.g. ${DEFAULT_TTL_DAYS}`))
      .default(DEFAULT_TTL_DAYS),
    dropData: z.boolean(withMessage("must be true or false")).default(false),
    atlas: z
      .object({
        projectId: z
          .string(withMessage("is missing: the project's 24 hex digits, Atlas → Project Settings"))
          .regex(
            /^[0-9a-f]{24}$/,
            withMessage("is not an Atlas project id (24 lower-case hex digits): Atlas → Project Settings"),
          ),
        cluster: clusterSchema,
        database: z
          .string()
          .regex(/^[A-Za-z0-9_-]{1,38}$/, withMessage("is not a database name: letters, digits, _ and -, at most 38"))
          .default("slm"),
        userPrefix: z
          .string()
          .regex(/^[A-Za-z0-9_-]{1,38}$/, withMessage("is not a prefix for database users: letters, digits, _ and -"))
          .optional(),
        connection: z
          .enum(
            ["srv", "standard"],
            withMessage("must be srv, or standard for networks whose DNS resolves no SRV records"),
          )
          .default("srv"),
        collection: z
          .string()
          .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, withMessage("is not a collection name: letters, digits, _ and -"))
          .default("documents"),
        allowFrom: z
          .array(
            cidrSchema,
            withMessage(
              "is missing: the networks that may reach the database, the office's and the one where `pulumi up` runs, e.g. [203.0.113.7/32]",
            ),
          )
          .min(
            1,
            withMessage(
              "is empty, so nothing could reach the database. List the office's address and the one where `pulumi up` runs, e.g. 203.0.113.7/32",
            ),
          ),
        allowAnywhere: z.boolean(withMessage("must be true or false")).default(false),
      })
      .strict()
      .superRefine(({ allowFrom, allowAnywhere }, context) => {
        for (const [i, cidr] of allowFrom.entries()) {
          if (allowAnywhere || !cidr.endsWith("/0")) continue;
          context.addIssue({
            code: "custom",
            path: ["allowFrom", i],
            message:
              "exposes the database to the internet: list the office's address and the one `pulumi up` runs at, each with /32, or set allowAnywhere: true",
          });
        }
      })
      .optional(),
    embedding: runtimeDocuments.embedding,
    chunk: runtimeDocuments.chunk,
    maxDiskMiB: runtimeDocuments.maxDiskMiB,
    tokensPerCompanyPerDay: runtimeDocuments.tokensPerCompanyPerDay,
  })
  .strict()
  .refine((documents) => documents.store !== "atlas" || documents.atlas !== undefined, {
    path: ["atlas"],
    error: "is missing while store is atlas: give projectId, cluster and allowFrom, or set store to embedded",
    when: evenIfInvalid,
  });
