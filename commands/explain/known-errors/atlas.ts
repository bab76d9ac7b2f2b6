/** Errors of Atlas' API, as the provider prints them. */
import { adopt, type KnownError } from "../known-error.ts";

export const atlasErrors: readonly KnownError[] = [
  {
    id: "atlas.address",
    pattern:
      /IP_ADDRESS_NOT_ON_ACCESS_LIST|ORG_REQUIRES_ACCESS_LIST|IP address ([0-9a-f.:]+) is not allowed to access this resource/i,
    says: (match) => `the Atlas API key may not be used from this machine's address${addressIn(match)}`,
    todo: () =>
      "Add the address to the key's own API Access List (cloud.mongodb.com → Project Access → Applications → API Keys → Edit); the database's list is separate",
  },
  {
    id: "atlas.permission",
    pattern: /USER_UNAUTHORIZED|USER_CANNOT_ACCESS_(?:GROUP|ORG)|not authorized to perform this action/i,
    says: () => "the Atlas API key lacks a permission",
    todo: () => "Give it the role Project Owner in the project (Project Access → Applications → API Keys → Edit)",
  },
  {
    id: "atlas.key",
    pattern: /\bUNAUTHORIZED\b.{0,120}not authorized for this resource|You are not authorized for this resource/i,
    says: () => "Atlas does not accept the API key",
    todo: () =>
      "Put MONGODB_ATLAS_PUBLIC_KEY=… and MONGODB_ATLAS_PRIVATE_KEY=… into .env; create a new one if necessary",
  },
  {
    id: "atlas.half-key",
    pattern: /API Key (?:will be|is being) used but (Public|Private) Key is required/,
    says: ([, half = ""]) => `the ${half.toLowerCase()} half of the Atlas API key is not set where the other half is`,
    todo: () =>
      "Set both in the environment (MONGODB_ATLAS_PUBLIC_KEY, MONGODB_ATLAS_PRIVATE_KEY), or both in the stack's config",
  },
  {
    id: "atlas.user-taken",
    pattern: /USER_ALREADY_EXISTS/,
    says: () => "a database user with this name exists already, and this stack did not create it",
    todo: () => `Use another documents.atlas.database, or delete that user (Atlas → Database Access). ${adopt}`,
  },
  {
    id: "atlas.cluster-taken",
    pattern: /DUPLICATE_CLUSTER_NAME/,
    says: () => "a cluster with this name exists already",
    todo: () => "Use it (documents.atlas.cluster: <its name>), or choose another name",
  },
  {
    id: "atlas.cluster-missing",
    pattern: /CLUSTER_NOT_FOUND/,
    says: () => "the project has no cluster with this name",
    todo: () => "Correct documents.atlas.cluster: `npm run preflight` lists the existing ones",
  },
  {
    id: "atlas.project",
    pattern: /GROUP_NOT_FOUND|INVALID_GROUP_ID/,
    says: () => "the Atlas API key sees no such project",
    todo: () => "Correct documents.atlas.projectId (Atlas → Project Settings), or invite the key to the project",
  },
  {
    id: "atlas.payment",
    pattern: /NO_PAYMENT_INFORMATION_FOUND|payment (?:information|method)/i,
    says: () => "Atlas needs a payment method before it creates this cluster",
    todo: () => "Add one (Atlas → Billing), or use an existing cluster",
  },
];

function addressIn(match: RegExpExecArray): string {
  const address = match[1] ?? /IP address ([0-9a-f.:]+) is not allowed/i.exec(match.input)?.[1];
  return address ? ` (${address})` : "";
}
