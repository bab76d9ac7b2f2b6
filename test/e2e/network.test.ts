/** Tests that need a network which runs, and change little of it, share one: to set one up takes longer than most of them. */
import { afterAll, beforeAll, describe, expect } from "vitest";
import { inFolder, sandbox, start, strays } from "./harness.ts";
import { calling } from "./network/calling.ts";
import { doctor } from "./network/doctor.ts";
import { documents } from "./network/documents.ts";
import { flex } from "./network/flex.ts";

inFolder(".sandbox-network");

beforeAll(async () => {
  await sandbox("--stop");
  await start();
});
afterAll(async () => {
  const ran = await sandbox("--reset");
  expect(ran.code, ran.stdout + ran.stderr).toBe(0);
  expect(await strays()).toEqual([]);
});

describe("documents", documents);
describe("the doctor", doctor);
describe("callers", calling);
describe("Flex clusters", flex);
