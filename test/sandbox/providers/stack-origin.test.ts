import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { checkStackOrigin, ProvidersChanged } from "../../../sandbox/providers/stack-origin.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "slm-origin-"));
});
afterEach(() => rmSync(folder, { recursive: true }));
const recorded = () => readFileSync(join(folder, "providers.json"), "utf8");

it("refuses other plugins under existing resources, and says how to go on", async () => {
  await checkStackOrigin(folder, "ours", false);
  await checkStackOrigin(folder, "ours", true);
  const refused = checkStackOrigin(folder, "official", true);
  await expect(refused).rejects.toThrow(ProvidersChanged);
  await expect(checkStackOrigin(folder, "official", true)).rejects.toThrow(
    /made with the sandbox's own plugins.*SANDBOX_PROVIDERS=ours npm run sandbox\n.*--reset/s,
  );
  expect(JSON.parse(recorded())).toEqual({ providers: "ours" });
});

it("takes others for a stack without resources, and records them", async () => {
  await checkStackOrigin(folder, "ours", false);
  await checkStackOrigin(folder, "official", false);
  expect(JSON.parse(recorded())).toEqual({ providers: "official" });
  await expect(checkStackOrigin(folder, "ours", true)).rejects.toThrow(/SANDBOX_PROVIDERS=official/);
});

it("accepts the stack of an older sandbox, which has no record", async () => {
  await checkStackOrigin(folder, "ours", true);
  await checkStackOrigin(folder, "official", true);
});
