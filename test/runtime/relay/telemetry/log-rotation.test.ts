import { open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import pino from "pino";
import { expect, it } from "vitest";
import { rotateLogs } from "../../../../runtime/relay/telemetry/log-rotation.ts";
import { temporaryFolder } from "../harness.ts";

const bounds = { bytes: 10, copies: 2 };

it("a large log is copied and truncated, and its writer continues at the new end", async () => {
  const folder = await temporaryFolder();
  const file = join(folder, "relay.log");
  const writer = await open(file, "a"); // as launchd opens it, once
  const log = pino({ enabled: false });
  for (const text of ["first line\n", "second line\n", "third line\n"]) {
    await writer.write(text);
    await rotateLogs(folder, log, bounds);
  }
  await writer.write("short\n");
  await rotateLogs(folder, log, bounds);
  await writer.close();
  const rotated = join(folder, "rotated");
  expect((await readdir(folder)).sort()).toEqual(["relay.log", "rotated"]);
  expect((await readdir(rotated)).sort()).toEqual(["relay.log.1", "relay.log.2"]);
  expect(await readFile(file, "utf8")).toBe("short\n");
  expect(await readFile(join(rotated, "relay.log.1"), "utf8")).toBe("third line\n");
  expect(await readFile(join(rotated, "relay.log.2"), "utf8")).toBe("second line\n");
});

it("a log that cannot be copied is truncated with a warning; other files are unchanged", async () => {
  const folder = await temporaryFolder();
  const said: string[] = [];
  const log = pino({}, { write: (line: string) => void said.push(line) });
  const name = `${"x".repeat(250)}.log`; // no room for another ending
  for (const file of [name, "other.txt"]) await writeFile(join(folder, file), "longer than ten bytes");
  await rotateLogs(folder, log, bounds);
  expect(await readFile(join(folder, name), "utf8")).toBe("");
  expect(await readFile(join(folder, "other.txt"), "utf8")).toBe("longer than ten bytes");
  expect(said).toHaveLength(1);
  expect(said[0]).toContain("log truncated without a copy");
});

it("a missing folder is not an error", async () => {
  await rotateLogs(join(await temporaryFolder(), "none"), pino({ enabled: false }), bounds);
});
