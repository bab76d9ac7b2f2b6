import { expect, it } from "vitest";
import type { Answer, Finding } from "../../../commands/doctor/check.ts";
import { directLines } from "../../../commands/doctor/checks/direct-lines.ts";
import { runChecks } from "../../../commands/doctor/run.ts";
import { context } from "./evaluate.ts";

/** Runs the check against a Mac with this answer. @returns findings and how the installer was asked */
async function ask(answer: Answer, directServers: readonly string[]) {
  const asked: [command: string, timeoutMs: number | undefined][] = [];
  const session = {
    run: (command: string | readonly string[], options?: { timeoutMs?: number }) => {
      asked.push([String(command), options?.timeoutMs]);
      return Promise.resolve(answer as never);
    },
  };
  const found: Finding[] = await runChecks(session, [directLines], context({ directServers }));
  return { found, asked };
}
const answer = (lines: unknown): Answer => ({ exitCode: 0, stdout: JSON.stringify(lines), stderr: "" });

it("shows each line: connected, unrestricted, not connected, not installed", async () => {
  const { found, asked } = await ask(
    answer([
      { server: "backend", connected: true, serverProblems: [] },
      { server: "batch", connected: true, serverProblems: ["its key can create Unix sockets"] },
      { server: "night", connected: false, problem: "the Mac cannot resolve night.example.com" },
    ]),
    ["backend", "batch", "night", "new"],
  );
  expect(found.map(({ check, level }) => [check, level])).toEqual([
    ["direct line of backend", "ok"],
    ["direct line of batch", "warn"],
    ["direct line of night", "fail"],
    ["direct line of new", "fail"],
  ]);
  for (const { found: text } of found.slice(0, 3))
    expect(text).toContain("a token revoked in the dashboard works here");
  expect(found[1]?.todo).toContain("--prepare batch");
  expect(found[2]?.found).toContain("cannot resolve night.example.com");
  // The installer itself waits longer than the other checks' limit.
  expect(asked).toEqual([[expect.stringContaining("installer.mjs direct --root"), 60_000]]);
});

it("asks nothing without lines, and is unknown when an earlier release cannot tell", async () => {
  expect(await ask(answer([]), [])).toEqual({ found: [], asked: [] });
  const old: Answer = { exitCode: 1, stdout: "", stderr: "usage: installer.mjs install" };
  expect((await ask(old, ["backend"])).found).toMatchObject([
    { check: "direct line", level: "warn", todo: expect.stringContaining("pulumi up") },
  ]);
});
