/** Flex clusters under the real engine: one that is there already, and one that the stack makes. */
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { MongoClient } from "mongodb";
import { beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import { withCredentials } from "../../../components/document-store.ts";
import { ttlIndex } from "../../../components/ttl-collection-database.ts";
import { digestFetch } from "../../../sandbox/providers/mongodbatlas/digest.ts";
import type { Ready } from "../../../sandbox/ready.ts";
import { eventually, folder, project, pulumi, type Ran, ready, tokenHeaders } from "../harness.ts";

const documentsSchema = z.looseObject({ atlas: z.looseObject({ projectId: z.string(), cluster: z.unknown() }) });
const idleSchema = z.looseObject({ stateName: z.literal("IDLE") });
let here: Ready;
let projectId: string;

const configSchema = z.looseObject({ config: z.looseObject({ "slm-network:documents": documentsSchema }) });
const stackFile = () => join(project, `Pulumi.sandbox${basename(folder).replace(/^\.sandbox/, "")}.yaml`);
const readStack = async () => configSchema.parse(parse(await readFile(stackFile(), "utf8")));

async function setCluster(cluster: unknown, ttlDays = 30): Promise<void> {
  const stack = await readStack();
  const documents = stack.config["slm-network:documents"];
  documents.atlas.cluster = cluster;
  documents.ttlDays = ttlDays;
  await writeFile(stackFile(), stringify(stack));
}

/** A call to the emulated Atlas Admin API, as a person with the project's key makes it. */
async function atlas(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
  const url = new URL(`api/atlas/v2/groups/${projectId}${path}`, here.atlasApi);
  const accept = "application/vnd.atlas.2024-11-13+json";
  const { MONGODB_ATLAS_PUBLIC_KEY: username = "", MONGODB_ATLAS_PRIVATE_KEY: password = "" } = here.environment;
  const answer = await digestFetch(
    url,
    {
      method,
      headers: { accept, "content-type": accept },
      signal: AbortSignal.timeout(30_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    },
    { username, password },
  );
  return { status: answer.status, body: await answer.json() };
}

/** Seconds as the index in the database has them. */
async function ttlSeconds(): Promise<number | undefined> {
  const identity = z.object({ atlasSchemaPassword: z.string() });
  const { atlasSchemaPassword } = identity.parse(JSON.parse(await readFile(join(folder, "identity.json"), "utf8")));
  const client = new MongoClient(withCredentials(here.mongodbUri, "slm-schema", atlasSchemaPassword));
  try {
    const indexes = await client.db("slm").collection("documents").indexes();
    return indexes.find(({ name }) => name === ttlIndex.name)?.expireAfterSeconds;
  } finally {
    await client.close();
  }
}

const up = (): Promise<Ran> => pulumi(here, "up", "--yes", "--skip-preview");
const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);

/** Stores a document through the whole network, and finds it again. */
async function storesDocuments(title: string): Promise<void> {
  const url = `${here.url}/v1/documents?${new URLSearchParams({ company: "가나상사", title }).toString()}`;
  const headers = { ...tokenHeaders(here), "content-type": "application/json" };
  const put = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ chunks: [title] }) });
  expect([put.status, await put.json()]).toEqual([201, expect.objectContaining({ stored: true })]);
  expect((await fetch(url, { headers })).status).toBe(200);
}

/** Registers the tests of Flex clusters: the stack is left with another cluster than it had. */
export function flex(): void {
  beforeAll(async () => {
    here = await ready();
    projectId = (await readStack()).config["slm-network:documents"].atlas.projectId;
  });

  describe("a Flex cluster", { timeout: 400_000 }, () => {
    const providerSettings = { backingProviderName: "AWS", regionName: "AP_NORTHEAST_2" };

    it("that is there already is taken by its name, and not touched", async () => {
      expect((await atlas("POST", "/flexClusters", { name: "by-hand", providerSettings })).status).toBe(201);
      const look = () => atlas("GET", "/flexClusters/by-hand");
      await eventually(async () => idleSchema.safeParse((await look()).body).success, 60_000);
      const before = await look();
      await setCluster("by-hand");
      const ran = await up();
      succeeded(ran);
      expect(ran.stdout).not.toContain("FlexCluster");
      expect(await look()).toEqual(before);
      const user = await atlas("GET", "/databaseUsers/admin/slm-relay");
      expect(user.body).toMatchObject({ scopes: [{ name: "by-hand", type: "CLUSTER" }] });
      await storesDocuments("있던 클러스터");
    });

    it("is made in Seoul when asked for, without a second change after it", async () => {
      await setCluster({ create: {} });
      succeeded(await up());
      const made = await atlas("GET", "/flexClusters/slm");
      expect(made.body).toMatchObject({ stateName: "IDLE", providerSettings });
      await storesDocuments("새 클러스터");
      succeeded(await pulumi(here, "preview", "--expect-no-changes"));
    });

    it("goes with the config, and a TTL changes in place: both show in the preview", async () => {
      await setCluster("by-hand", 14);
      const preview = await pulumi(here, "preview", "--diff");
      succeeded(preview);
      expect(preview.stdout).toMatch(/ttlSeconds *: 2592000 => 1209600/);
      expect(preview.stdout).toMatch(/- mongodbatlas:index\/flexCluster:FlexCluster: \(delete\)/);
      expect(await ttlSeconds()).toBe(30 * 86_400);
      succeeded(await up());
      expect(await ttlSeconds()).toBe(14 * 86_400);
      expect((await atlas("GET", "/flexClusters/slm")).status).toBe(404);
      await storesDocuments("다시 있던 클러스터");
    });
  });
}
