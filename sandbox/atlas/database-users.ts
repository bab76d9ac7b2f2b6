/**
 * Database users of the project.
 * @see https://www.mongodb.com/docs/api/doc/atlas-admin-api-v2/group/endpoint-database-users
 */
import { z } from "zod";
import { effectiveUsers } from "./effects.ts";
import { AtlasError, checkBody } from "./errors.ts";
import type { Call, Project, Route } from "./route.ts";
import { page } from "./route.ts";
import type { StoredUser } from "./state.ts";

const onAnyDatabase = ["dbAdmin", "read", "readWrite"];
const onAdminOnly = [
  "atlasAdmin",
  "backup",
  "clusterMonitor",
  "dbAdminAnyDatabase",
  "enableSharding",
  "readAnyDatabase",
  "readWriteAnyDatabase",
];

const role = z
  .strictObject({
    roleName: z.enum([...onAnyDatabase, ...onAdminOnly]),
    databaseName: z.string().min(1).max(64),
    collectionName: z.undefined({ error: "the sandbox has no roles on a single collection: leave it out" }).optional(),
  })
  .refine(({ roleName, databaseName }) => !onAdminOnly.includes(roleName) || databaseName === "admin", {
    error: 'this role is on the database "admin" only',
    path: ["databaseName"],
  });

const none = z.literal("NONE", { error: 'the sandbox has users with a password only: "NONE"' });

const changeShape = {
  password: z.string().min(8).max(1024).optional(),
  roles: z.array(role).min(1).optional(),
  scopes: z
    .array(z.strictObject({ name: z.string().min(1), type: z.enum(["CLUSTER", "DATA_LAKE", "STREAM"]) }))
    .optional(),
  labels: z.array(z.strictObject({ key: z.string(), value: z.string() })).nullish(),
  description: z.string().max(100).nullish(),
  groupId: z.string().optional(),
  awsIAMType: none.optional(),
  ldapAuthType: none.optional(),
  oidcAuthType: none.optional(),
  x509Type: none.optional(),
};

const createSchema = z.strictObject({
  ...changeShape,
  username: z.string().min(1).max(1024),
  databaseName: z.literal("admin", { error: 'users with a password sign in against "admin"' }),
  password: z.string().min(8).max(1024),
  roles: z.array(role).min(1),
});
const changeSchema = z.strictObject({
  ...changeShape,
  username: z.string().optional(),
  databaseName: z.string().optional(),
});

function wire(project: Project, user: StoredUser): Record<string, unknown> {
  const { password: _secret, ...shown } = user;
  return {
    ...shown,
    groupId: project.id,
    awsIAMType: "NONE",
    ldapAuthType: "NONE",
    oidcAuthType: "NONE",
    x509Type: "NONE",
    links: [],
  };
}

function find({ project, params }: Call): StoredUser {
  const [database = "", username = ""] = params;
  const user = project.state.users[username];
  if (user === undefined || user.databaseName !== database) {
    throw new AtlasError(404, "USERNAME_NOT_FOUND", `No user with username ${username} exists.`, [username]);
  }
  return user;
}

/** Applies the users. Called again when a cluster appears, because scopes name clusters. */
export async function applyUsers(project: Project): Promise<void> {
  const clusters = [project.clusterName, ...Object.keys(project.state.flexClusters)];
  await project.effects.users(effectiveUsers(project.state, clusters), project.delays.userMs);
}

function checkGroup(project: Project, groupId: string | undefined): void {
  if (groupId === undefined || groupId === project.id) return;
  throw new AtlasError(
    400,
    "INVALID_ATTRIBUTE",
    `Invalid attribute groupId specified: ${groupId} is not the project of the path.`,
  );
}

async function create({ project, body }: Call) {
  const sent = checkBody(createSchema, body);
  checkGroup(project, sent.groupId);
  if (project.state.users[sent.username] !== undefined) {
    const detail = `The specified database user already exists: ${sent.username}.`;
    throw new AtlasError(409, "USER_ALREADY_EXISTS", detail, [sent.username]);
  }
  const user: StoredUser = {
    username: sent.username,
    databaseName: sent.databaseName,
    password: sent.password,
    roles: sent.roles.map(({ roleName, databaseName }) => ({ roleName, databaseName })),
    scopes: sent.scopes ?? [],
    labels: sent.labels ?? [],
    ...(sent.description ? { description: sent.description } : {}),
  };
  project.state.users[user.username] = user;
  project.changed();
  try {
    await applyUsers(project);
  } catch (error) {
    // Otherwise a retry would find a user that cannot sign in.
    delete project.state.users[user.username];
    project.changed();
    throw error;
  }
  return { status: 201, body: wire(project, user) };
}

async function change(call: Call) {
  const { project } = call;
  const user = find(call);
  const sent = checkBody(changeSchema, call.body);
  checkGroup(project, sent.groupId);
  user.password = sent.password ?? user.password;
  user.roles = sent.roles?.map(({ roleName, databaseName }) => ({ roleName, databaseName })) ?? user.roles;
  user.scopes = sent.scopes ?? user.scopes;
  user.labels = sent.labels ?? user.labels;
  if (sent.description) user.description = sent.description;
  project.changed();
  await applyUsers(project);
  return { body: wire(project, user) };
}

async function remove(call: Call) {
  const { project } = call;
  delete project.state.users[find(call).username];
  project.changed();
  await applyUsers(project);
  return { status: 204 };
}

/** Routes of database users. */
export const databaseUserRoutes: Route[] = [
  {
    method: "GET",
    path: "/databaseUsers",
    handle: ({ project, query }) =>
      page(
        Object.values(project.state.users).map((user) => wire(project, user)),
        query,
      ),
  },
  { method: "POST", path: "/databaseUsers", handle: create },
  { method: "GET", path: "/databaseUsers/*/*", handle: (call) => ({ body: wire(call.project, find(call)) }) },
  { method: "PATCH", path: "/databaseUsers/*/*", handle: change },
  { method: "DELETE", path: "/databaseUsers/*/*", handle: remove },
];
