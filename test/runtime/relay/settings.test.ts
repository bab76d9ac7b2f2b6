import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { InvalidSettings, readSettings } from "../../../runtime/relay/settings.ts";
import { temporaryFolder, testConfig } from "./harness.ts";

const good = { ...testConfig("http://127.0.0.1:11434", "/var/db/x"), port: 8080, adminPort: 8081 };

async function read(config: unknown, secrets: unknown) {
  const folder = await temporaryFolder();
  const files = [join(folder, "relay.json"), join(folder, "secrets.json")] as const;
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  await writeFile(files[0], text(config));
  await writeFile(files[1], text(secrets));
  return readSettings(...files);
}

async function problems(config: unknown, secrets: unknown): Promise<readonly string[]> {
  const error = await read(config, secrets).then(
    () => expect.fail("no fault was found"),
    (cause: unknown) => cause,
  );
  return error instanceof InvalidSettings ? error.problems : expect.fail(String(error));
}

test("good files are read", async () => {
  await expect(read(good, { mongodbUri: "mongodb://x" })).resolves.toMatchObject({
    config: { port: 8080 },
    secrets: { mongodbUri: "mongodb://x" },
  });
});

test("all problems of both files come at once, with the path and the value", async () => {
  const found = await problems(
    { ...good, port: 99999, callers: [{ ...good.callers[0], weight: -2 }] },
    { mongodbUri: 5, extra: 1 },
  );
  expect(found).toHaveLength(4);
  expect(found[0]).toMatch(/relay\.json: port is 99999: .*65535/);
  expect(found[1]).toMatch(/callers\[0\]\.weight is -2/);
  expect(found.slice(2).join()).toMatch(/secrets\.json: mongodbUri: .*secrets\.json: the whole file: .*extra/);
});

test("no value of the secrets is shown, even when the file is not JSON", async () => {
  const found = await problems(good, '{"mongodbUri": mongodb+srv://relay:hunter2@x}');
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/secrets\.json is not JSON/);
  expect(found.join()).not.toMatch(/hunter2|mongodb/);
});

test("values that contradict each other are problems", async () => {
  const found = await problems(
    {
      ...good,
      adminPort: 8080,
      model: { ...good.model, url: "http://127.0.0.1:1234/v1/" },
      access: { ...good.access, audiences: { servers: "a", people: "a" } },
      callers: [...good.callers, { ...good.callers[0], name: "other" }],
    },
    {},
  );
  expect(found.join("\n")).toMatch(
    /both 8080.*\n.*leave out the \/v1.*\n.*two applications.*\n.*"backend" and "other"/,
  );
});

test("a file that is not there is a fault", async () => {
  await expect(readSettings("/nowhere/relay.json", "/nowhere/secrets.json")).rejects.toThrow(
    /relay\.json cannot be read: ENOENT.*\n.*secrets\.json cannot be read/,
  );
});

test("a file of the release before, without the newer bounds, is read; bounds that contradict each other are problems", async () => {
  await expect(read(good, {})).resolves.toMatchObject({ config: { limits: { bodyMiB: 8 } } });
  const limits = { ...good.limits, bodyMiB: 64, waitingMiB: 300, memoryMiB: 256 };
  const callers = Array.from({ length: 70 }, (_, n) => ({
    ...good.callers[0],
    name: `c${n}`,
    clientId: `${String(n).padStart(32, "0")}.access`,
  }));
  const found = (await problems({ ...good, limits, callers }, {})).join("\n");
  expect(found).toMatch(
    /limits\.memoryMiB is 256: is under 5 × bodyMiB \(64\).*320.*\n.*under waitingMiB \(300\).*\n.*too little for 70 callers.*280/,
  );
  await expect(read({ ...good, limits: { ...limits, memoryMiB: 512 } }, {})).resolves.toBeDefined();
});
