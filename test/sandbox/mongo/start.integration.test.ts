import { createHash } from "node:crypto";
import { once } from "node:events";
import { access, chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { join, resolve } from "node:path";
import type { Db } from "mongodb";
import { create } from "tar";
import { describe, expect, it } from "vitest";
import type { Reaper } from "../../../sandbox/machine/reaper.ts";
import { withoutCredentials } from "../../../sandbox/mongo/driver-admin.ts";
import { hostsElsewhere, type StartedMongo, startMongo } from "../../../sandbox/mongo/start.ts";
import { startVendors } from "../vendors.ts";
import { atEnd, client, startServer, temporaryFolder } from "./harness.ts";

const OFFLINE = { PATH: "", SANDBOX_OFFLINE: "1" };

async function start(
  env: NodeJS.ProcessEnv,
  extra: { dir?: string; reaper?: Reaper } = {},
): Promise<StartedMongo & { logged: string[] }> {
  const logged: string[] = [];
  const dir = extra.dir ?? (await temporaryFolder());
  const started = await startMongo({
    dir,
    port: 0,
    log: (line) => logged.push(line),
    env,
    reaper: extra.reaper,
    ttlMonitorMs: 1000,
  });
  atEnd(() => started.close());
  return { ...started, logged };
}

/** What the document cache needs of any MongoDB, with a user that was made through the admin. */
async function contract(started: StartedMongo): Promise<void> {
  const database = `slm_contract_${process.pid}`;
  const roles = [
    { role: "readWrite", db: database },
    { role: "dbAdmin", db: database },
  ];
  await started.admin.setAccessList(["203.0.113.7/32"]);
  await started.admin.putUser({ username: database, password: "one", roles: [] });
  await started.admin.putUser({ username: database, password: "two:@/", roles });
  const db: Db = client(started.uri, database, "two:@/").db(database);
  try {
    const documents = db.collection("documents");
    await documents.createIndex({ lastAccessedAt: 1 }, { name: "ttl", expireAfterSeconds: 60 });
    await documents.createIndex({ company: 1, title: 1 }, { unique: true });
    const again = documents.createIndex({ lastAccessedAt: 1 }, { name: "ttl", expireAfterSeconds: 90 });
    await expect(again).rejects.toMatchObject({ code: 85, codeName: "IndexOptionsConflict" });
    await db.command({ collMod: "documents", index: { name: "ttl", expireAfterSeconds: 120 } });
    expect(await documents.indexes()).toContainEqual(expect.objectContaining({ name: "ttl", expireAfterSeconds: 120 }));
    const key = { company: "가", title: "계약서.pdf" };
    await documents.insertOne({ ...key, lastAccessedAt: new Date() });
    await expect(documents.insertOne({ ...key })).rejects.toMatchObject({
      code: 11000,
      keyPattern: { company: 1, title: 1 },
    });
    const touched = await documents.findOneAndUpdate(
      key,
      { $max: { lastAccessedAt: new Date() }, $inc: { uses: 1 } },
      { returnDocument: "after" },
    );
    expect(touched).toMatchObject({ ...key, uses: 1 });
    const upsert = await documents.replaceOne(
      { company: "나", title: "x" },
      { company: "나", title: "x" },
      { upsert: true },
    );
    expect(upsert.upsertedCount).toBe(1);
    expect(await documents.countDocuments()).toBe(2);
    expect(await documents.deleteOne(key)).toMatchObject({ deletedCount: 1 });
    await expect(client(started.uri, database, "one").db(database).command({ ping: 1 })).rejects.toMatchObject({
      code: 18,
    });
  } finally {
    await db.dropDatabase();
    await started.admin.removeUser(database);
    await started.admin.removeUser(database);
  }
}

/** What is smaller than a mongod can be, the library takes for a broken one. */
const padding = "#".repeat(12 << 20);

/**
 * Stands for mongod: our own server behind mongod's options, with the administrator of an earlier start. Writes its
 * options to `ended` when it is ended in order.
 */
async function writeMongod(folder: string, ended: string): Promise<void> {
  const program = `
    import { startEmulatedMongo } from ${JSON.stringify(resolve(import.meta.dirname, "../../../sandbox/mongo/server.ts"))};
    import { writeFileSync } from "node:fs";
    const option = (name) => process.argv[process.argv.indexOf(name) + 1];
    const server = await startEmulatedMongo({ dir: option("--dbpath"), port: Number(option("--port")), log: () => {} });
    await server.admin.putUser({ username: "sandbox-admin", password: "kept", roles: [{ role: "root", db: "admin" }] });
    await server.admin.setAccessList(["0.0.0.0/0"]);
    process.on("SIGTERM", async () => {
      await server.close();
      writeFileSync(${JSON.stringify(ended)}, process.argv.slice(2).join(" "));
      process.exit(0);
    });
  `;
  await mkdir(folder, { recursive: true });
  await writeFile(`${ended}.mjs`, program);
  await writeFile(join(folder, "mongod"), `#!/bin/sh\nexec '${process.execPath}' '${ended}.mjs' "$@"\n${padding}`);
  await chmod(join(folder, "mongod"), 0o755);
}

/** A mirror of MongoDB's download site, and the environment that leads there. */
async function startMirror(answer: RequestListener): Promise<NodeJS.ProcessEnv> {
  const mirror = createServer(answer).listen(0, "127.0.0.1");
  await once(mirror, "listening");
  atEnd(async () => void mirror.close());
  const address = mirror.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  const home = await temporaryFolder();
  return {
    PATH: "",
    HOME: home,
    SANDBOX_MONGO: "real",
    MONGOMS_DOWNLOAD_MIRROR: url,
    MONGOMS_USE_HTTP: "true",
    MONGOMS_MAX_RETRIES: "1",
    MONGOMS_SYSTEM_BINARY_VERSION_CHECK: "false",
  };
}

/** A mirror that gives the folder's `mongodb-any` as whatever archive is asked for, and its sum. */
async function mirrorOf(folder: string, wrongSum = false): Promise<{ env: NodeJS.ProcessEnv; asked: string[] }> {
  await create({ file: join(folder, "mongod.tgz"), cwd: folder, gzip: true }, ["mongodb-any"]);
  const archive = await readFile(join(folder, "mongod.tgz"));
  const sum = `${createHash("md5")
    .update(wrongSum ? "another archive" : archive)
    .digest("hex")}  mongod.tgz\n`;
  const asked: string[] = [];
  const env = await startMirror((request, response) => {
    asked.push(request.url ?? "");
    const body = request.url?.endsWith(".md5") ? Buffer.from(sum) : archive;
    response.writeHead(200, { "content-length": body.length }).end(body);
  });
  return { env, asked };
}

describe("choosing a MongoDB", () => {
  it("uses its own server where there is nothing else, and says so", async () => {
    const started = await start(OFFLINE);
    expect(started.kind).toBe("emulated");
    expect(started.logged).toEqual([expect.stringMatching(/^MongoDB: the sandbox's own server/)]);
    await contract(started);
  });

  it("uses the server of MONGODB_URI, through the official driver", async () => {
    const server = await startServer();
    await server.admin.putUser({ username: "owner", password: "p@ss", roles: [{ role: "root", db: "admin" }] });
    const uri = `mongodb://owner:p%40ss@127.0.0.1:${server.port}/?authSource=admin`;
    const started = await start({ ...OFFLINE, MONGODB_URI: uri });
    expect(started).toMatchObject({ kind: "external", uri: `mongodb://127.0.0.1:${server.port}/?authSource=admin` });
    await contract(started);
  });

  // Of this machine: a shell may have it for a real database.
  const { MONGODB_URI = "" } = process.env;
  const isForTests = MONGODB_URI !== "" && hostsElsewhere(MONGODB_URI).length === 0;
  it("keeps the same contract with the MongoDB of this environment", async (context) => {
    context.skip(!isForTests, "no MongoDB for tests: MONGODB_URI is not set, or names a real database");
    await contract(await start({ ...OFFLINE, MONGODB_URI }));
  });

  it.each([
    ["mongodb+srv://owner:pw@prod.ab1cd.mongodb.net/slm", "prod.ab1cd.mongodb.net"],
    ["mongodb://127.0.0.1:27017,db.example.com:27017/?replicaSet=rs", "db.example.com:27017"],
    ["mongodb://127.0.0.1.example.com", "127.0.0.1.example.com"],
  ])("refuses a real database that a shell has in MONGODB_URI: %s", async (uri, host) => {
    await expect(start({ ...OFFLINE, MONGODB_URI: uri })).rejects.toThrow(
      new RegExp(`^MONGODB_URI leads to ${host.replaceAll(".", "\\.")}, not to this machine.*SANDBOX_MONGO=emulated`),
    );
    expect((await start({ ...OFFLINE, MONGODB_URI: uri, SANDBOX_MONGO: "emulated" })).kind).toBe("emulated");
  });

  it.each(["mongodb://localhost", "mongodb://127.0.0.2:1", "mongodb://[::1]:27017", "mongodb://%2Ftmp%2Fmongodb.sock"])(
    "takes %s for this machine's",
    (uri) => expect(hostsElsewhere(uri)).toEqual([]),
  );

  it("does not fall back quietly when MONGODB_URI does not work", async () => {
    const server = await startServer();
    const uri = `mongodb://owner:wrong@127.0.0.1:${server.port}/`;
    await expect(start({ ...OFFLINE, MONGODB_URI: uri })).rejects.toThrow(
      /MONGODB_URI is set, but its server cannot be used: .*Authentication failed/,
    );
  });

  it("tells the reason when the mongod on PATH does not start", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "mongod"), "#!/bin/sh\necho 'no such architecture'\nexit 3\n");
    await chmod(join(folder, "mongod"), 0o755);
    await expect(start({ PATH: folder })).rejects.toThrow(/mongod ended at once \(3\): no such architecture/);
  });

  it("starts the mongod on PATH as the leader of a watched group and ends it with the sandbox", async () => {
    const folder = await temporaryFolder();
    const dir = await temporaryFolder();
    await writeMongod(join(folder, "bin"), join(folder, "ended"));
    await writeFile(join(dir, "admin-password"), "kept");
    const watched: number[] = [];
    const reaper: Reaper = {
      watch: (pid) => watched.push(pid),
      forget: (pid) => watched.push(-pid),
      close: async () => {},
    };
    const started = await start({ PATH: join(folder, "bin") }, { dir, reaper });
    expect(started.kind).toBe("mongod");
    await contract(started);
    expect(watched).toHaveLength(1);
    expect(() => process.kill(-watched[0]!, 0)).not.toThrow(); // it leads a group
    await started.close();
    await access(join(folder, "ended"));
    expect(watched).toEqual([watched[0], -watched[0]!]);
  });
});

describe("downloading the official binary", { timeout: 120_000 }, () => {
  it("is not done by default", async () => {
    const folder = await temporaryFolder();
    await writeMongod(join(folder, "mongodb-any", "bin"), join(folder, "ended"));
    const { env, asked } = await mirrorOf(folder);
    const started = await start({ ...env, SANDBOX_MONGO: undefined });
    expect(started.kind).toBe("emulated");
    expect(started.logged).toEqual([expect.stringMatching(/SANDBOX_MONGO=real downloads one/)]);
    expect((await start({ ...env, SANDBOX_MONGO: "emulated", MONGODB_URI: "mongodb://nowhere" })).kind).toBe(
      "emulated",
    );
    expect(asked).toEqual([]);
  });

  it("compares it with MongoDB's sum, starts it, and keeps it", async () => {
    const folder = await temporaryFolder();
    const dir = await temporaryFolder();
    await writeMongod(join(folder, "mongodb-any", "bin"), join(folder, "ended"));
    const { env, asked } = await mirrorOf(folder);
    await writeFile(join(dir, "admin-password"), "kept");
    const started = await start(env, { dir });
    expect(started.kind).toBe("downloaded");
    await contract(started);
    await started.close();
    expect(asked).toEqual([expect.stringMatching(/\.tgz$/), expect.stringMatching(/\.tgz\.md5$/)]);
    expect((await start(env, { dir })).kind).toBe("downloaded");
    expect(asked).toHaveLength(2);
  });

  it("refuses one with a wrong sum, and asks again the next time", async () => {
    const folder = await temporaryFolder();
    const dir = await temporaryFolder();
    await writeMongod(join(folder, "mongodb-any", "bin"), join(folder, "ended"));
    const { env, asked } = await mirrorOf(folder, true);
    for (const times of [1, 2]) {
      await expect(start(env, { dir })).rejects.toThrow(
        /SANDBOX_MONGO is real, but mongod could not be downloaded \(.*MD5.*\): install a mongod on PATH/i,
      );
      expect(asked.filter((path) => path.endsWith(".tgz"))).toHaveLength(times);
    }
  });

  it("says why it is not available, and how to fix it", async () => {
    const env = await startMirror((_request, response) => void response.writeHead(404).end());
    await expect(start(env)).rejects.toThrow(/SANDBOX_MONGO is real, but .*\(.*404.*\): install a mongod on PATH/);
    await expect(start({ ...env, SANDBOX_OFFLINE: "1" })).rejects.toThrow(/SANDBOX_OFFLINE forbids its download/);
    await expect(start({ ...env, MONGOMS_DISABLE_DOWNLOAD: "1" })).rejects.toThrow(/MONGOMS_DISABLE_DOWNLOAD forbids/);
    await expect(start({ ...env, SANDBOX_MONGO: "atlas" })).rejects.toThrow(
      'SANDBOX_MONGO is "atlas"; it must be one of auto, real, emulated',
    );
  });

  it("says so when what it has downloaded does not run here", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "mongodb-any", "bin"), { recursive: true });
    const program = "#!/bin/sh\necho 'libcurl.so.4: cannot open'\nexit 127\n";
    await writeFile(join(folder, "mongodb-any", "bin", "mongod"), program);
    const { env } = await mirrorOf(folder);
    await expect(start(env)).rejects.toThrow(/the downloaded mongod does not run here.*libcurl/);
  });

  it("goes through the proxy of the environment, and trusts no certificate it cannot check", async () => {
    const folder = await temporaryFolder();
    await writeMongod(join(folder, "mongodb-any", "bin"), join(folder, "ended"));
    await create({ file: join(folder, "mongod.tgz"), cwd: folder, gzip: true }, ["mongodb-any"]);
    const archive = await readFile(join(folder, "mongod.tgz"));
    const sum = `${createHash("md5").update(archive).digest("hex")}  mongod.tgz\n`;
    const mirror = await startVendors(join(folder, "tls"), ["fastdl.mongodb.org"], ({ path }, response) =>
      response.end(path.endsWith(".md5") ? sum : archive),
    );
    atEnd(() => mirror.close());
    const dir = await temporaryFolder();
    await writeFile(join(dir, "admin-password"), "kept");
    const env = {
      PATH: "",
      HOME: folder,
      SANDBOX_MONGO: "real",
      HTTPS_PROXY: mirror.proxyUrl,
      MONGOMS_MAX_RETRIES: "1",
    };
    await expect(start(env, { dir })).rejects.toThrow(/could not be downloaded \(.*certificate/);
    const started = await start({ ...env, NODE_EXTRA_CA_CERTS: mirror.caFile }, { dir });
    expect(started.kind).toBe("downloaded");
    expect(mirror.asked.map(({ url }) => url)).toEqual([
      expect.stringMatching(/^https:\/\/fastdl\.mongodb\.org\/\w+\/mongodb-.*\.tgz$/),
      expect.stringMatching(/\.tgz\.md5$/),
    ]);
  });
});

it("takes user and password out of a connection string", () => {
  expect(withoutCredentials("mongodb+srv://a:b%40@host.example.net/?x=1")).toBe("mongodb+srv://host.example.net/?x=1");
  expect(withoutCredentials("mongodb://127.0.0.1:27017")).toBe("mongodb://127.0.0.1:27017");
});
