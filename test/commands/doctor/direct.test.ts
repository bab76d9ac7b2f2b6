import { expect, it } from "vitest";
import { directFindings } from "../../../commands/doctor/direct.ts";

const answer = (lines: unknown) => ({ exitCode: 0, stdout: JSON.stringify(lines), stderr: "" });

it("shows each line: connected, unrestricted, not connected, not installed", () => {
  const found = directFindings(
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
});

it("is silent without lines, and unknown when an earlier release cannot tell", () => {
  expect(directFindings(undefined, [])).toEqual([]);
  const old = { exitCode: 1, stdout: "", stderr: "usage: installer.mjs install" };
  expect(directFindings(old, ["backend"])).toMatchObject([
    { level: "warn", todo: expect.stringContaining("pulumi up") },
  ]);
});
