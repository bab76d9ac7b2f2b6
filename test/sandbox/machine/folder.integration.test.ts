/** `--reset` removes the folder and the stack file: neither may be anything but a sandbox's. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type Instance, thisInstance } from "../../../sandbox/instance.ts";
import { requireOwnFolder } from "../../../sandbox/machine/folder.ts";
import { cacheFolder } from "../../../sandbox/tools/tools.ts";
import { run } from "../../e2e/harness.ts";

let place: string;
beforeEach(() => {
  place = realpathSync(mkdtempSync(join(tmpdir(), "slm-folder-")));
});
afterEach(() => rmSync(place, { recursive: true }));

const project = join(import.meta.dirname, "../../..");
/** A sandbox whose stack file lies in `place`, so that the checkout's stay as they are. */
const sandboxIn = (folder: string): Instance => {
  const instance = thisInstance({ SANDBOX_DIR: folder });
  return { ...instance, stackFile: join(place, `Pulumi.${instance.stack}.yaml`) };
};

it("takes .sandbox when SANDBOX_DIR is empty, as when it is not set", () => {
  expect(thisInstance({ SANDBOX_DIR: "" })).toEqual(thisInstance({}));
  expect(thisInstance({}).folder).toBe(join(project, ".sandbox"));
  expect(cacheFolder({ SLM_NETWORK_CACHE: "", XDG_CACHE_HOME: "" })).toBe(cacheFolder({}));
});

it.each([
  ["the checkout", project],
  ["what the checkout is in", dirname(project)],
  ["everything", "/"],
  ["the home folder", homedir()],
])("refuses %s", async (_, folder) => {
  await expect(requireOwnFolder(sandboxIn(folder))).rejects.toThrow(
    /^SANDBOX_DIR is \/.*--reset would remove it\. Set/,
  );
});

it("refuses a folder that holds something else, a file, and a name that no stack can have", async () => {
  const documents = join(place, "documents");
  mkdirSync(documents);
  writeFileSync(join(documents, "thesis.txt"), "years of work");
  await expect(requireOwnFolder(sandboxIn(documents))).rejects.toThrow(/something else than a sandbox \(thesis\.txt\)/);
  await expect(requireOwnFolder(sandboxIn(join(documents, "thesis.txt")))).rejects.toThrow("it is not a folder");
  await expect(requireOwnFolder(sandboxIn(join(place, "새 폴더")))).rejects.toThrow(/"새 폴더", is the stack's name/);
});

it("accepts a missing folder, an empty one, the remains of an interrupted start, and a sandbox's", async () => {
  const folder = join(place, "새 폴더", ".box");
  await requireOwnFolder(sandboxIn(folder));
  mkdirSync(folder, { recursive: true });
  await requireOwnFolder(sandboxIn(folder));
  for (const name of ["sandbox.log", "lock.json", "lock.json.17"]) writeFileSync(join(folder, name), "");
  await requireOwnFolder(sandboxIn(folder));
  for (const name of ["identity.json", "anything"]) writeFileSync(join(folder, name), "");
  await requireOwnFolder(sandboxIn(folder));
});

it("leaves the stack file of a real stack alone, whatever the folder's name", async () => {
  const prod = sandboxIn(join(place, ".prod"));
  writeFileSync(prod.stackFile, "encryptionsalt: v1:x\nconfig:\n  slm-network:hostname: slm.acme.com\n");
  await expect(requireOwnFolder(prod)).rejects.toThrow(
    /its stack would be "prod", and Pulumi\.prod\.yaml is the config/,
  );
  writeFileSync(prod.stackFile, "config: [not: closed");
  await expect(requireOwnFolder(prod)).rejects.toThrow(/Pulumi\.prod\.yaml/);
  writeFileSync(prod.stackFile, "config:\n  cloudflare:baseUrl: http://127.0.0.1:20001/client/v4\n");
  await requireOwnFolder(prod);
  writeFileSync(prod.stackFile, "encryptionsalt: v1:x\n"); // of a start that ended before it wrote the config
  await requireOwnFolder(prod);
});

it.each([["--detach"], ["--no-up"], ["--reset"]])("is asked before %s touches anything", async (option) => {
  const folder = join(place, "documents");
  mkdirSync(folder);
  writeFileSync(join(folder, "thesis.txt"), "years of work");
  const ran = await run(process.execPath, ["sandbox/main.ts", option], { SANDBOX_DIR: folder });
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(/^SANDBOX_DIR is .*something else than a sandbox.*\n$/);
  expect(existsSync(join(folder, "thesis.txt"))).toBe(true);
  expect(existsSync(join(folder, "sandbox.log"))).toBe(false);
});
