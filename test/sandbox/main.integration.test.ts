/** The sandbox's command, where no sandbox runs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { run } from "../e2e/harness.ts";

it("--env without a sandbox stops what comes after it, which would go to the shell's own accounts", async () => {
  const folder = mkdtempSync(join(tmpdir(), "slm-main-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const line = `eval "$('${process.execPath}' sandbox/main.ts --env)" && echo pulumi up`;
  const ran = await run("sh", ["-c", line], { SANDBOX_DIR: folder });
  expect(ran.stdout).toBe("");
  expect(ran.code).not.toBe(0);
  expect(ran.stderr).toMatch(/^no sandbox is ready here: start it with `npm run sandbox -- --detach`\n$/);
});
