/** Ids of Atlas' resources in the state and for imports (terraform-provider-mongodbatlas, internal/common/conversion/encode_state_id.go). */

const base64 = (text: string) => Buffer.from(text).toString("base64");

/** The id of several values: pairs of base64 key and value, sorted by key, joined by `-`. */
export function encodeStateId(values: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(values).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return pairs.map(([key, value]) => `${base64(key)}:${base64(value)}`).join("-");
}

/** The values of such an id; undefined for another one. */
export function decodeStateId(id: string): Record<string, string> | undefined {
  const values: Record<string, string> = {};
  for (const pair of id.split("-")) {
    const [, key, value] = /^([A-Za-z0-9+/]+={0,2}):([A-Za-z0-9+/]*={0,2})$/.exec(pair) ?? [];
    if (key === undefined || value === undefined) return undefined;
    values[Buffer.from(key, "base64").toString()] = Buffer.from(value, "base64").toString();
  }
  return values;
}

const project = "[0-9a-fA-F]{24}";
const legacySeparator = /%2F/gi;

/** Project and entry of an access list entry's id. `{project_id}-{entry}` is the form for imports. @throws for another one */
export function accessListId(id: string): { projectId: string; entry: string } {
  const { project_id: projectId, entry } = decodeStateId(id) ?? {};
  if (projectId !== undefined && entry !== undefined) return { projectId, entry };
  // The second form is of stacks that older releases of this plugin made.
  const match = new RegExp(`^(${project})-(.+)$`).exec(id) ?? new RegExp(`^(${project})/([^/]+)$`).exec(id);
  if (!match)
    throw new Error("import format error: to import a projectIP Access List, use the format {project_id}-{entry}");
  return { projectId: match[1] ?? "", entry: (match[2] ?? "").replace(legacySeparator, "/") };
}

/** Project, user and authentication database of a database user's id, both import forms included. @throws for another one */
export function databaseUserId(id: string): { projectId: string; username: string; authDatabaseName: string } {
  const { project_id: projectId, username, auth_database_name: authDatabaseName } = decodeStateId(id) ?? {};
  if (projectId !== undefined && username !== undefined && authDatabaseName !== undefined) {
    return { projectId, username, authDatabaseName };
  }
  const match =
    new RegExp(`^(${project})/(.+)/([^/]+)$`).exec(id) ?? new RegExp(`^(${project})-(.+)-([$a-zA-Z0-9]+)$`).exec(id);
  if (!match) {
    throw new Error(
      "import format error: to import a Database User, use the format {project_id}-{username}-{auth_database_name} OR {project_id}/{username}/{auth_database_name}",
    );
  }
  return {
    projectId: match[1] ?? "",
    username: decodeURIComponent(match[2] ?? ""),
    authDatabaseName: decodeURIComponent(match[3] ?? ""),
  };
}

/** Project and name of a Flex cluster to import, `{project_id}-{name}`. @throws for another form */
export function flexImportId(id: string): { projectId: string; name: string } {
  const match = new RegExp(`^(${project})[-/](.+)$`).exec(id);
  if (!match) {
    throw new Error("import format error: to import a flex cluster, use the format {project_id}-{cluster_name}");
  }
  return { projectId: match[1] ?? "", name: decodeURIComponent(match[2] ?? "") };
}
