/** What holds for every check of the doctor, and how they are run. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Answer, Check } from "../../../commands/doctor/check.ts";
import { checks } from "../../../commands/doctor/checks.ts";
import { exitCode, runChecks } from "../../../commands/doctor/run.ts";
import { SessionError } from "../../../ssh/session.ts";
import { context, refusedBy, said } from "./evaluate.ts";

const isCheck = (value: unknown): value is Check => typeof value === "object" && value !== null && "evaluate" in value;

it("every check in checks/ is in the list", async () => {
  const folder = join(import.meta.dirname, "../../../commands/doctor/checks");
  const modules = await Promise.all((await readdir(folder)).map((file) => import(join(folder, file))));
  const exported = modules.flatMap((module: Record<string, unknown>) => Object.values(module)).filter(isCheck);
  expect(new Set(checks)).toEqual(new Set(exported));
  expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
});

it.each(checks.map((check) => [check.name, check] as const))(
  "%s never reports ok without an answer",
  (_name, check) => {
    for (const answer of [undefined, { unanswered: "no answer in time" }, refusedBy("command not found")]) {
      // Exit code 1 of `defaults` means that automatic login is off, so that answer says something.
      if (check.name === "automatic login" && answer && "exitCode" in answer) continue;
      // Without evidence of a crash or a number of slots, these conclude from their other answers.
      const answers = Object.fromEntries(Object.keys(check.commands(context())).map((key) => [key, answer as Answer]));
      const result = check.evaluate(answers, context());
      const parts = result === undefined || "level" in result ? [result] : result;
      expect(parts, JSON.stringify(answer)).not.toHaveLength(0);
      for (const part of parts) {
        expect(part?.level, JSON.stringify(answer)).not.toBe("ok");
        expect(part?.found, JSON.stringify(answer)).toBeTruthy();
      }
    }
  },
);

it("runs each command once, the clock's before all others, and at most four at a time", async () => {
  const ran: string[] = [];
  let running = 0;
  let most = 0;
  const session = {
    async run(command: string | readonly string[]) {
      ran.push(String(command));
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return said("") as never;
    },
  };
  const found = await runChecks(session, checks, context());
  expect(found.map(({ check }) => check)).toEqual(checks.map(({ name }) => name));
  expect(ran[0]).toBe("date +%s");
  expect(new Set(ran).size).toBe(ran.length);
  expect(ran.filter((command) => command === "pmset -g custom")).toHaveLength(1);
  expect(most).toBe(4);
  expect(exitCode(found)).toBe(1);
});

it("leaves out the checks that do not apply, and reports what did not answer in time as unknown", async () => {
  const session = {
    run: () => Promise.reject(new SessionError("timeout", "no answer")),
  };
  const found = await runChecks(session, checks, context({ documents: { store: "embedded" }, directServers: [] }));
  expect(found.map(({ check }) => check)).not.toContain("Atlas");
  expect(found.map(({ check }) => check)).not.toContain("direct line");
  expect(found.find(({ check }) => check === "macOS")).toMatchObject({
    level: "warn",
    found: "unknown (no answer in time)",
  });
});
