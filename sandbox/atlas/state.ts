/** The state of the emulated project as zod schemas, in memory and in the state file (mode 0600: it holds passwords). */
import { z } from "zod";

const roleSchema = z.object({ roleName: z.string(), databaseName: z.string() });

const userSchema = z.object({
  username: z.string(),
  databaseName: z.literal("admin"),
  password: z.string(),
  roles: z.array(roleSchema),
  scopes: z.array(z.object({ name: z.string(), type: z.string() })),
  labels: z.array(z.object({ key: z.string(), value: z.string() })),
  description: z.string().optional(),
});

const entrySchema = z.object({
  cidrBlock: z.string(),
  ipAddress: z.string().optional(),
  comment: z.string(),
  /** When it takes effect, ms since the epoch. */
  activeAt: z.number(),
});

const flexSchema = z.object({
  id: z.string(),
  name: z.string(),
  createDate: z.string(),
  providerSettings: z.object({ backingProviderName: z.string(), regionName: z.string() }),
  tags: z.array(z.object({ key: z.string(), value: z.string() })),
  terminationProtectionEnabled: z.boolean(),
  stateName: z.enum(["CREATING", "IDLE", "UPDATING", "DELETING"]),
  /** Number of reads the state lasts. */
  pollsLeft: z.int(),
  /** A deletion requested during an update: it begins when the update is over. */
  deleteAfterUpdate: z.boolean().optional(),
});

/** The whole project, keyed by user name, CIDR block and cluster name. */
export const stateSchema = z.object({
  format: z.literal(1),
  users: z.record(z.string(), userSchema),
  accessList: z.record(z.string(), entrySchema),
  flexClusters: z.record(z.string(), flexSchema),
});

export type AtlasState = z.infer<typeof stateSchema>;
export type StoredUser = z.infer<typeof userSchema>;
export type StoredEntry = z.infer<typeof entrySchema>;
export type StoredFlex = z.infer<typeof flexSchema>;
