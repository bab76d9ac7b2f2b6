/** A replacement of the installer's files that is cut after any of its steps: the relay still reads one whole set. */
import { mkdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  carryOut,
  commitSteps,
  finishReplacement,
  restoreSteps,
  type Step,
} from "../../../runtime/installer/staged-files.ts";
import { readSettings } from "../../../runtime/relay/settings.ts";
import { incomingOf, type Journal, journalOf } from "../../../runtime/replacement-journal.ts";
import { temporaryFolder, testConfig } from "../relay/harness.ts";

type Set = "old" | "fresh";

/** An installation of the old set, with the new one staged, and the steps that replace it carried out up to `count`. */
async function cutAfter(count: number, sameRelease: boolean, back: boolean) {
  const folder = await temporaryFolder();
  const current = join(folder, "current");
  const former = "releases/a";
  const next = sameRelease ? former : "releases/b";
  for (const release of [former, next]) await mkdir(join(folder, release), { recursive: true });
  await symlink(former, current);
  const [relayConfig, secrets, plist] = ["relay.json", "secrets.json", "relay.plist"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const content = (path: string, set: Set): string => {
    if (path === relayConfig)
      return JSON.stringify({ ...testConfig(`http://127.0.0.1:1/${set}`, folder), port: 8080, adminPort: 8081 });
    return path === secrets ? JSON.stringify({ modelKey: set }) : set;
  };
  const changes = [relayConfig, secrets, plist].map((path) => ({ path, isPlist: path === plist }));
  const journal: Journal = { direction: "forward", former, next, files: changes.map(({ path }) => path) };
  for (const { path } of changes) {
    await writeFile(path, content(path, "old"));
    await writeFile(incomingOf(path), content(path, "fresh"));
  }
  const journalFile = journalOf(relayConfig);
  const write = (to: Journal | undefined) =>
    to === undefined ? rm(journalFile, { force: true }) : writeFile(journalFile, JSON.stringify(to));
  const forward = commitSteps(changes, journal);
  const steps: Step[] = back ? [...forward, ...restoreSteps(changes, journal)] : forward;
  for (const step of steps.slice(0, count)) await carryOut(step, current, write);
  const release = await readlink(current);
  /** The set that a relay reads that starts now. */
  const read = async () => {
    const found = await readSettings(relayConfig, secrets, join(folder, await readlink(current), "relay.mjs"));
    return [new URL(found.config.model.url).pathname.slice(1), found.secrets.modelKey];
  };
  const finish = () => finishReplacement({ current, relayConfig });
  return { steps: steps.length, release, next, read, finish, plist, relayConfig, secrets, forward };
}

const cases = [false, true].flatMap((sameRelease) => [false, true].map((back) => ({ sameRelease, back })));

it.for(cases)(
  "reads one set after a cut at any step, and is put right (one release: $sameRelease, way back: $back)",
  async ({ sameRelease, back }) => {
    const { steps } = await cutAfter(0, sameRelease, back);
    expect(steps).toBeGreaterThan(7);
    for (let count = 0; count <= steps; count += 1) {
      const cut = await cutAfter(count, sameRelease, back);
      const [config, secret] = await cut.read();
      expect(secret, `after ${count} steps`).toBe(config);
      // The release's own set, where the releases differ.
      if (!sameRelease) expect(config, `after ${count} steps`).toBe(cut.release === cut.next ? "fresh" : "old");
      const isCutOnTheWayBack = count > cut.forward.length;
      await cut.finish();
      // A way back that was begun is gone to its end; otherwise what was read stays.
      const kept = isCutOnTheWayBack ? "old" : config!;
      expect(await cut.read(), `after ${count} steps, finished`).toEqual([kept, kept]);
      expect(await readFile(cut.relayConfig, "utf8")).toContain(`/${kept}"`);
      expect(await readFile(cut.secrets, "utf8")).toContain(kept);
      expect(await readFile(cut.plist, "utf8"), `plist after ${count} steps`).toBe(kept);
      await expect(readFile(journalOf(cut.relayConfig), "utf8")).rejects.toThrow("ENOENT");
    }
    const whole = await cutAfter(steps, sameRelease, back);
    expect(await whole.read()).toEqual(back ? ["old", "old"] : ["fresh", "fresh"]);
  },
);

it("is not needed for the files of a release before", async () => {
  const cut = await cutAfter(0, false, false);
  expect(await cut.finish()).toBe(false);
});
