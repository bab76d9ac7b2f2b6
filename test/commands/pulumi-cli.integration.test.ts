import { expect, it } from "vitest";
import { run, stackFileName } from "../../commands/pulumi-cli.ts";

it("reports a program that is not installed, and does not wait for it", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  const ran = await run("slm-network-no-such-program", ["--version"], { timeoutMs: 60_000 });
  expect(ran).toEqual({ code: undefined, stdout: "", stderr: "" });
  expect(timers()).toBe(before); // one that is left keeps the process alive
});

it("ends a program that takes too long", async () => {
  const started = Date.now();
  const ran = await run(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { timeoutMs: 200 });
  expect(ran.code).toBe(1);
  expect(Date.now() - started).toBeLessThan(20_000);
});

it("passes input, and returns trimmed output and the exit code", async () => {
  const script =
    'process.stdin.on("data", (text) => console.log(String(text).toUpperCase())); console.error("error: no"); process.exitCode = 3;';
  expect(await run(process.execPath, ["-e", script], { input: "secret" })).toEqual({
    code: 3,
    stdout: "SECRET",
    stderr: "no",
  });
});

it("does not fail when a program ends without reading its input", async () => {
  expect((await run(process.execPath, ["-e", ""], { input: "x".repeat(1 << 20) })).code).toBe(0);
});

it("names the stack file without organisation and project", () => {
  expect([stackFileName("prod"), stackFileName("acme/slm-network/prod")]).toEqual([
    "Pulumi.prod.yaml",
    "Pulumi.prod.yaml",
  ]);
});
