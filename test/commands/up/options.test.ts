import { expect, test } from "vitest";
import { splitArgs } from "../../../commands/up/options.ts";

test("options of npm run up and of pulumi up", () => {
  expect(splitArgs(["--yes", "--no-preflight", "--stack", "prod"])).toEqual({
    preflight: false,
    stack: "prod",
    args: ["--yes", "--stack", "prod"],
  });
  expect(splitArgs(["--stack=prod"])).toMatchObject({ stack: "prod", preflight: true });
});
