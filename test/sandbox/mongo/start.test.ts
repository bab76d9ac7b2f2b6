import { createHash } from "node:crypto";
import { once } from "node:events";
import { access, chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { join, resolve } from "node:path";
import type { Db } from "mongodb";
import { create } from "tar";
import { describe, expect, it } from "vitest";
import { withoutCredentials } from "../../../sandbox/mongo/driver-admin.ts";
import { type StartedMongo, startMongo } from "../../../sandbox/mongo/start.ts";
import type { Reaper } from "../../../sandbox/reaper.ts";
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
  await writeFile(join(folder, "mongod"), `#!/bin/sh\nexec '${process.execPath}' '${ended}.mjs' "$@"\n`);
  await chmod(join(folder, "mongod"), 0o755);
}

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
    MONGOMS_DOWNLOAD_MIRROR: url,
    MONGOMS_USE_HTTP: "true",
    MONGOMS_MAX_RETRIES: "1",
    MONGOMS_SYSTEM_BINARY_VERSION_CHECK: "false",
  };
}

/** A mirror that gives the folder's `mongodb-any` as whatever archive is asked for, and its sum. */
async function mirrorOf(folder: string): Promise<NodeJS.ProcessEnv> {
  await create({ file: join(folder, "mongod.tgz"), cwd: folder, gzip: true }, ["mongodb-any"]);
  const archive = await readFile(join(folder, "mongod.tgz"));
  const sum = `${createHash("md5").update(archive).digest("hex")}  mongod.tgz\n`;
  return startMirror((request, response) => {
    const body = request.url?.endsWith(".md5") ? Buffer.from(sum) : archive;
    response.writeHead(200, { "content-length": body.length }).end(body);
  });
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

  it.runIf(process.env.MONGODB_URI)("keeps the same contract with the MongoDB of this environment", async () => {
    await contract(await start({ ...OFFLINE, MONGODB_URI: process.env.MONGODB_URI }));
  });

  it("does not fall back quietly when MONGODB_URI does not work", async () => {
    const server = await startServer();
    const uri = `mongodb://owner:wrong@127.0.0.1:${server.port}/`;
    await expect(start({ ...OFFLINE, MONGODB_URI: uri })).rejects.toThrow(
      /MONGODB_URI is set, but its server can not be used: .*Authentication failed/,
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

describe("downloading the official binary", () => {
  it("tries once, quietly, and remembers that it failed", async () => {
    let asked = 0;
    const env = await startMirror((_request, response) => {
      asked += 1;
      response.writeHead(404).end();
    });
    const dir = await temporaryFolder();
    expect((await start(env, { dir })).kind).toBe("emulated");
    const first = asked;
    expect(first).toBeGreaterThan(0);
    expect((await start(env, { dir })).kind).toBe("emulated");
    expect(asked).toBe(first);
  });

  it("starts what it has downloaded", async () => {
    const folder = await temporaryFolder();
    const dir = await temporaryFolder();
    await writeMongod(join(folder, "mongodb-any", "bin"), join(folder, "ended"));
    const env = await mirrorOf(folder);
    await writeFile(join(dir, "admin-password"), "kept");
    const started = await start(env, { dir });
    expect(started.kind).toBe("downloaded");
    await contract(started);
  });

  it("goes on with its own server when what it has downloaded does not run here", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "mongodb-any", "bin"), { recursive: true });
    await writeFile(
      join(folder, "mongodb-any", "bin", "mongod"),
      "#!/bin/sh\necho 'libcurl.so.4: cannot open'\nexit 127\n",
    );
    const started = await start(await mirrorOf(folder));
    expect(started.kind).toBe("emulated");
    expect(started.logged[0]).toMatch(/downloaded mongod does not run here.*libcurl/);
  });

  it("is not tried where the environment forbids it", async () => {
    let asked = 0;
    const env = await startMirror((_request, response) => {
      asked += 1;
      response.writeHead(404).end();
    });
    expect((await start({ ...env, MONGOMS_DISABLE_DOWNLOAD: "1" })).kind).toBe("emulated");
    expect((await start({ ...env, SANDBOX_OFFLINE: "1" })).kind).toBe("emulated");
    expect(asked).toBe(0);
  });
});

it("takes user and password out of a connection string", () => {
  expect(withoutCredentials("mongodb+srv://a:b%40@host.example.net/?x=1")).toBe("mongodb+srv://host.example.net/?x=1");
  expect(withoutCredentials("mongodb://127.0.0.1:27017")).toBe("mongodb://127.0.0.1:27017");
});
